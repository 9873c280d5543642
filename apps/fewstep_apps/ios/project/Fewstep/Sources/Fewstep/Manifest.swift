import Foundation

// What the app reads of a bundle; `docs/architecture.md` describes all of it. `fewstep package` checked it against the schema.

public struct StepRow: Decodable {
    public let timestep: Double
    public let inputScale: Double
    public let data: [Double]
    public let state: [[Double]]
    public let output: [Double]
    public let noise: [Double]
}

public struct StepTable: Decodable {
    public let sampler: String
    public let initialScale: Double
    public let rows: [StepRow]
}

/// A number, or a name for a free dimension.
public enum Dimension: Decodable {
    case size(Int)
    case free(String)

    public init(from decoder: Decoder) throws {
        let value = try decoder.singleValueContainer()
        self = try (try? value.decode(Int.self)).map(Dimension.size) ?? .free(value.decode(String.self))
    }
}

public struct Port: Decodable {
    public let name: String
    public let dtype: String
    public let shape: [Dimension]

    /// The sizes behind the first, which is the batch.
    public var row: [Int] { shape.dropFirst().map { if case .size(let size) = $0 { size } else { 1 } } }
}

public struct Component: Decodable {
    public let file: String
    public let inputs: [Port]
    public let outputs: [Port]
}

public struct Variant: Decodable {
    public let name: String
    public let precision: String
    public let components: [String: Component]
}

public struct Template: Decodable {
    public let before: String
    public let after: String
    public let skip: Int
}

public struct TokenizerRecord: Decodable {
    public let file: String
    public let maxLength: Int
    public let lowercase: Bool
    public let prompt: Template
    public let negative: Template

    public init(file: String, maxLength: Int, lowercase: Bool, prompt: Template, negative: Template) {
        (self.file, self.maxLength, self.lowercase, self.prompt, self.negative) = (file, maxLength, lowercase, prompt, negative)
    }
}

public struct Guidance: Decodable {
    public let scale: Double
    public let negativePrompt: String?
}

/// Shape (C, h, w), and z = z_n / scale + shift with one value a channel.
public struct Latent: Decodable {
    public let shape: [Int]
    public let scale: [Double]
    public let shift: [Double]
}

public struct Picture: Decodable {
    public let size: Int
    public let channels: String
}

public struct Prompts: Decodable {
    public let styles: [String]
    public let examples: [String]
}

public struct Licence: Decodable, Hashable {
    public let what: String
    public let licence: String
    public let credit: String
}

public struct Manifest: Decodable {
    public let name: String
    public let variants: [Variant]
    public let stepTables: [String: StepTable]
    public let defaultStepTable: String
    public let guidance: Guidance
    public let latent: Latent
    public let image: Picture
    public let tokenizers: [TokenizerRecord]
    public let prompts: Prompts
    public let licences: [Licence]
}

extension Template {
    public init(_ before: String, _ after: String, skip: Int) {
        (self.before, self.after, self.skip) = (before, after, skip)
    }
}

/// Reads one of the types of this file, or of the tokenizer's.
public func read<T: Decodable>(_ type: T.Type, from file: URL) throws -> T {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(type, from: Data(contentsOf: file))
}
