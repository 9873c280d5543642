import Fewstep
import SwiftUI

struct DrawView: View {
    @ObservedObject var studio: Studio
    @State private var prompt = ""
    @State private var style = ""
    @State private var seed = "7"
    @State private var table = ""
    @State private var preview = true

    var body: some View {
        Form {
            Section {
                stage
                ProgressView(value: studio.progress)
                if !studio.status.isEmpty { Text(studio.status).font(.footnote) }
                if let sticker = studio.sticker { ShareLink("Share or save", item: sticker) }
            }
            if let manifest = studio.model?.manifest { order(manifest) }
        }
    }

    private var stage: some View {
        Group {
            if let picture = studio.picture {
                Image(uiImage: picture).resizable().interpolation(.medium).scaledToFit()
            } else {
                Text("Say what you would like to see.").frame(maxWidth: .infinity, minHeight: 240)
            }
        }
        .accessibilityLabel(studio.picture == nil ? "No picture yet" : prompt)
    }

    @ViewBuilder private func order(_ manifest: Manifest) -> some View {
        Section {
            TextField(manifest.prompts.examples.first ?? "What shall it be?", text: $prompt).submitLabel(.done)
            Picker("Style", selection: $style) {
                Text("any").tag("")
                ForEach(manifest.prompts.styles, id: \.self) { Text($0).tag($0) }
            }
            HStack {
                TextField("Seed", text: $seed).keyboardType(.numberPad)
                Button("Another seed") { seed = String(Int.random(in: 0..<100_000)) }
            }
            Picker("Steps", selection: $table) {
                ForEach(manifest.stepTables.keys.sorted(), id: \.self) { Text("\(manifest.stepTables[$0]!.rows.count) (\($0))").tag($0) }
            }
            Toggle("Show every step", isOn: $preview)
        }
        .onAppear { if table.isEmpty { table = manifest.defaultStepTable } }
        Button(studio.busy ? "Stop" : "Draw") {
            if studio.busy { studio.stop() } else { draw(manifest) }
        }
        .frame(maxWidth: .infinity)
    }

    private func draw(_ manifest: Manifest) {
        let words = prompt.trimmingCharacters(in: .whitespacesAndNewlines)
        if words.isEmpty { prompt = manifest.prompts.examples.first ?? "" }
        let text = [prompt, style.isEmpty ? "" : "\(style) style"].filter { !$0.isEmpty }.joined(separator: ", ")
        let steps = manifest.stepTables[table]!
        let drawing = Drawing(text, seed: UInt64(seed) ?? 0, table: steps, guidance: manifest.guidance.scale)
        let (size, count, previews) = (manifest.image.size, steps.rows.count, preview)
        Task {
            await studio.work { model, sign in
                let start = Date.now
                let pixels = try model.textToImage.draw(drawing) { step, data in
                    try sign.check()
                    let shown = previews && step < count ? image(try model.textToImage.decode(data), size: size) : nil
                    Task { @MainActor in
                        studio.progress = Double(step) / Double(count)
                        if let shown { studio.picture = shown }
                    }
                }
                let seconds = Date.now.timeIntervalSince(start)
                let made = image(pixels, size: size)
                let file = FileManager.default.temporaryDirectory.appendingPathComponent("sticker-\(drawing.seed).png")
                try made?.pngData()?.write(to: file)
                Task { @MainActor in (studio.picture, studio.sticker) = (made, file) }
                return String(format: "%.2f s, %d steps", seconds, count)
            }
        }
    }
}
