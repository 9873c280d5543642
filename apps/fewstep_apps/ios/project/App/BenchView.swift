import Fewstep
import SwiftUI
import UIKit

/// A first picture, warm-up, ten pictures, then a minute of them to see throttling. `fewstep bench --report` reads the shared file.
struct BenchView: View {
    @ObservedObject var studio: Studio
    @State private var figures: [Double] = []
    @State private var file: URL?

    var body: some View {
        Form {
            Section {
                Text(studio.status.isEmpty ? "Draws for about a minute." : studio.status)
                Button(studio.busy ? "Stop" : "Start") {
                    if studio.busy { studio.stop() } else { bench() }
                }
                .disabled(studio.model == nil)
                if let file { ShareLink("Share the report", item: file) }
            }
            Section("Milliseconds a picture") {
                ForEach(Array(figures.enumerated()), id: \.offset) { Text(String(format: "%.0f", $0.element)).monospacedDigit() }
            }
        }
    }

    private func bench() {
        let phone = Phone()
        Task {
            await studio.work { model, sign in
                let manifest = model.manifest
                let steps = manifest.stepTables[manifest.defaultStepTable]!.rows.count
                let build = Build(
                    bundle: manifest.name, variant: model.variant.name, backend: "Core ML", threads: 1, steps: steps, loadMs: model.loadMs)
                var report = Report(device: "phone", date: Date.now.ISO8601Format(), build: build, about: phone.about)
                let job = Job(prompt: manifest.prompts.examples.first ?? "")
                try measure(job, model.textToImage, manifest, on: phone, into: &report) { what, report in
                    try sign.check()
                    let runs = report.runs.map(\.ms)
                    Task { @MainActor in (studio.status, figures) = (what, runs) }
                }
                let written = FileManager.default.temporaryDirectory.appendingPathComponent("report.json")
                try Reports([report]).json().write(to: written)
                Task { @MainActor in file = written }
                return "Done."
            }
        }
    }
}

/// What this phone tells about itself; made on the main thread, where UIKit answers.
@MainActor
final class Phone: Device {
    let about: [String: String]

    init() {
        var name = utsname()
        uname(&name)
        let machine = withUnsafeBytes(of: &name.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let device = UIDevice.current
        device.isBatteryMonitoringEnabled = true
        about = [
            "app": "ios", "model": machine, "system": "\(device.systemName) \(device.systemVersion)",
            "cores": String(ProcessInfo.processInfo.activeProcessorCount),
        ]
    }

    /// Asked on the model's queue; UIKit answers on the main one.
    nonisolated func charge() -> Double? {
        let level = DispatchQueue.main.sync { MainActor.assumeIsolated { UIDevice.current.batteryLevel } }
        return level < 0 ? nil : Double(level) // it says -1 where it does not know
    }

    nonisolated func memoryBytes() -> Int? {
        var info = task_vm_info_data_t()
        var count = mach_msg_type_number_t(MemoryLayout<task_vm_info_data_t>.size / MemoryLayout<integer_t>.size)
        let result = withUnsafeMutablePointer(to: &info) {
            $0.withMemoryRebound(to: integer_t.self, capacity: Int(count)) { task_info(mach_task_self_, task_flavor_t(TASK_VM_INFO), $0, &count) }
        }
        return result == KERN_SUCCESS ? Int(info.phys_footprint) : nil
    }
}
