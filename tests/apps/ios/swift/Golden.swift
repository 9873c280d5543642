import Foundation

private struct NoiseFile: Decodable {
    struct Case: Decodable {
        let seed: String
        let stream: String
        let values: [Double]
    }
    let cases: [Case]
}

private struct VectorFile: Decodable {
    struct Vector: Decodable {
        struct Edit: Decodable {}
        let name: String
        let table: StepTable
        let noise: [String: [Float]]
        let latents: [String: [Float]]
        let edit: Edit?
    }
    let shape: [Int]
    let tolerance: Float
    let vectors: [Vector]
}

private struct TokenFile: Decodable {
    struct Case: Decodable {
        let text: String
        let ids: [Int]
    }
    let tokenizer: TokenizerFile
    let cases: [Case]
}

private func expect(_ right: Bool, _ what: @autoclosure () -> String) {
    if !right { fatalError(what()) }
}

/// Ends the program at the first difference; prints how much was compared.
func golden(_ data: URL) throws {
    try print("noise", noise(data), "loop", loop(data), "tokens", tokens(data), "pixels", pixels())
}

private func noise(_ data: URL) throws -> Int {
    // A known answer of Random123 (Salmon et al. 2011), kat_vectors, "philox4x32 10".
    let found = philox4x32([0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344], key: (0xA409_3822, 0x299F_31D0))
    expect(found == [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1], "philox gives \(found)")
    let cases = try read(NoiseFile.self, from: data.appendingPathComponent("noise.json")).cases
    for entry in cases {
        let values = gaussian(entry.values.count, seed: UInt64(entry.seed)!, stream: UInt64(entry.stream)!)
        for (value, expected) in zip(values, entry.values) {
            expect(abs(Double(value) - expected) <= abs(expected) * 2e-7, "seed \(entry.seed) gives \(value) for \(expected)")
        }
    }
    return cases.count
}

private func loop(_ data: URL) throws -> Int {
    let file = try read(VectorFile.self, from: data.appendingPathComponent("golden_sampler_vectors.json"))
    let width = file.shape.last!
    let network: Network = { x, timestep in
        x.indices.map { i in
            let mirrored = 0.5 * x[i - i % width + width - 1 - i % width]
            return Float(tanh(Double(mirrored + timestep / 1000)))
        }
    }
    let vectors = file.vectors.filter { $0.edit == nil } // the app has no editing of pictures
    for vector in vectors {
        try run(vector.table, noise: { vector.noise[String($0)]! }, network: network) { step in
            for (value, expected) in zip(step.latents, vector.latents[String(step.row)] ?? []) {
                expect(abs(value - expected) <= file.tolerance, "\(vector.name), row \(step.row): \(value) for \(expected)")
            }
        }
    }
    return vectors.count
}

private func tokens(_ data: URL) throws -> Int {
    let file = try read(TokenFile.self, from: data.appendingPathComponent("tokens.json"))
    let template = Template("a ", "", skip: 1)
    let record = TokenizerRecord(file: "", maxLength: 8, lowercase: false, prompt: template, negative: Template("", "", skip: 0))
    let tokenizer = Tokenizer(file.tokenizer, record)
    for entry in file.cases {
        expect(tokenizer.ids(entry.text) == entry.ids, "'\(entry.text)' gives \(tokenizer.ids(entry.text)) for \(entry.ids)")
    }
    guard case .floats(let mask)? = try tokenizer.encode("red")["text_mask"] else { fatalError("no mask") }
    expect(mask == [1, 1, 1, 1, 0, 0, 0, 0], "the mask is \(mask)")
    do {
        _ = try tokenizer.encode(String(repeating: "red ", count: 20))
        fatalError("a prompt that is too long was taken")
    } catch let error as PromptTooLong {
        expect(error.localizedDescription == "This prompt has 23 tokens; at most 8 fit. Shorten it.", error.localizedDescription)
    }
    return file.cases.count
}

private func pixels() -> Int {
    // Two by two pixels: opaque, half, clear with colour left over, and out of range.
    let image: [Float] = [1, 0.25, 0.5, 2, 0.5, 0, 0.5, -1, 0, 0, 0.5, 0.5, 1, 0.5, 0, 1.5]
    let found = toRgba(image, size: 2)
    expect(found == [255, 128, 0, 255, 128, 0, 0, 128, 0, 0, 0, 0, 255, 0, 128, 255], "the pixels are \(found)")
    expect(toRgba([1, 0, 0.5], size: 1) == [255, 0, 128, 255], "three channels are not opaque")
    return 5
}
