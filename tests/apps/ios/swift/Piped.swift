import Foundation

private struct Pipe: Graph {
    let name: String
    let component: Component

    func run(_ feeds: [String: Tensor], batch: Int) throws -> [String: [Float]] {
        let ports = component.inputs.map { ($0.name, feeds[$0.name]!) }
        let names = ports.map { name, tensor in
            switch tensor {
            case .floats(let values): "\(name):f:\(values.count)"
            case .ints(let values): "\(name):i:\(values.count)"
            }
        }
        var message = Data("\(name) \(batch) \(names.joined(separator: " "))\n".utf8)
        for (_, tensor) in ports {
            switch tensor {
            case .floats(let values): append(values.map(\.bitPattern), to: &message)
            case .ints(let values): append(values.map(UInt32.init(bitPattern:)), to: &message)
            }
        }
        FileHandle.standardOutput.write(message)
        let answer = readLine()!.split(separator: " ").map { $0.split(separator: ":") }
        return Dictionary(uniqueKeysWithValues: answer.map { (String($0[0]), floats(Int($0[1])!)) })
    }
}

private func append(_ words: [UInt32], to data: inout Data) {
    for word in words { withUnsafeBytes(of: word.bigEndian) { data.append(contentsOf: $0) } }
}

private func floats(_ count: Int) -> [Float] {
    var words = [UInt32](repeating: 0, count: count)
    guard fread(&words, 4, count, stdin) == count else { fatalError("the other end was closed") }
    return words.map { Float(bitPattern: UInt32(bigEndian: $0)) }
}

private struct NoDevice: Device {
    func charge() -> Double? { 0.5 }
    func memoryBytes() -> Int? { nil }
}

func pipe(_ bundle: URL, prompt: String, seed: UInt64, report: String) throws {
    let manifest = try read(Manifest.self, from: bundle.appendingPathComponent("manifest.json"))
    let tokenizers = try manifest.tokenizers.map {
        Tokenizer(try read(TokenizerFile.self, from: bundle.appendingPathComponent($0.file)), $0)
    }
    let variant = manifest.variants[0]
    let graphs = Dictionary(uniqueKeysWithValues: variant.components.map { ($0, Pipe(name: $0, component: $1)) })
    let model = TextToImage(manifest, variant: variant, graphs: graphs, tokenizers: tokenizers)
    let table = manifest.stepTables[manifest.defaultStepTable]!

    var steps: [Int] = []
    let picture = try model.draw(Drawing(prompt, seed: seed, table: table, guidance: manifest.guidance.scale)) { step, _ in steps.append(step) }
    precondition(steps == Array(1...table.rows.count))
    let rgba = toRgba(picture, size: manifest.image.size)
    var message = Data("picture \(rgba.count / 4)\n".utf8)
    for i in stride(from: 0, to: rgba.count, by: 4) { message.append(contentsOf: [rgba[i + 3], rgba[i], rgba[i + 1], rgba[i + 2]]) }
    FileHandle.standardOutput.write(message)

    let build = Build(bundle: manifest.name, variant: variant.name, backend: "pipe", threads: 1, steps: table.rows.count, loadMs: 1)
    var made = Report(device: "a test", date: "2026-11-26T00:00:00Z", build: build, about: ["model": "Linux", "system": "Swift"])
    let job = Job(prompt: prompt, seed: seed, warmup: 0, runs: 2, sustainedSeconds: 0.01)
    try measure(job, model, manifest, on: NoDevice(), into: &made) { _, _ in }
    try Reports([made]).json().write(to: URL(fileURLWithPath: report))
}
