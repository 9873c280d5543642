/// A row of a tensor, or a batch of rows one behind the other.
public enum Tensor {
    case floats([Float])
    case ints([Int32])

    /// Both, one behind the other; of one kind.
    func joined(_ other: Tensor) -> Tensor {
        switch (self, other) {
        case (.floats(let a), .floats(let b)): .floats(a + b)
        case (.ints(let a), .ints(let b)): .ints(a + b)
        default: preconditionFailure("tensors of two kinds")
        }
    }

    var zeros: Tensor {
        switch self {
        case .floats(let values): .floats(values.map { _ in 0 })
        case .ints(let values): .ints(values.map { _ in 0 })
        }
    }
}

/// A graph of the bundle in some engine.
public protocol Graph {
    /// The outputs of one call; every input has `batch` rows.
    func run(_ feeds: [String: Tensor], batch: Int) throws -> [String: [Float]]
}

public struct Drawing {
    public let prompt: String
    public let seed: UInt64
    public let table: StepTable
    public let guidance: Double

    public init(_ prompt: String, seed: UInt64, table: StepTable, guidance: Double) {
        (self.prompt, self.seed, self.table, self.guidance) = (prompt, seed, table, guidance)
    }
}

/// Prompt to picture: tokens, text encoder, the loop around the denoiser, decoder. Mirrors `runtime/fewstep/text_to_image.py`.
public final class TextToImage {
    /// Milliseconds of every call into a graph in the last drawing, by component.
    public private(set) var timings: [String: [Double]] = [:]
    private let manifest: Manifest
    private let variant: Variant
    private let graphs: [String: Graph]
    private let tokenizers: [Tokenizer]
    private var negative: [String: Tensor]?

    public init(_ manifest: Manifest, variant: Variant, graphs: [String: Graph], tokenizers: [Tokenizer]) {
        (self.manifest, self.variant, self.graphs, self.tokenizers) = (manifest, variant, graphs, tokenizers)
    }

    /// The picture (channels, H, W) in [0, 1], alpha premultiplied.
    ///
    /// `onStep` is told the number of every evaluation, from 1, and what the network takes the clean latents for; it may throw to stop.
    public func draw(_ drawing: Drawing, onStep: (Int, [Float]) throws -> Void = { _, _ in }) throws -> [Float] {
        timings = [:]
        let size = manifest.latent.shape.reduce(1, *)
        let network = try network(drawing, size)
        var latents: [Float] = []
        let noise: Noise = { gaussian(size, seed: drawing.seed, stream: UInt64($0)) }
        try run(drawing.table, noise: noise, network: network) { step in
            latents = step.latents
            try onStep(step.row + 1, step.data)
        }
        return try decode(latents)
    }

    /// The picture of normalised latents: the decoder sees z = z_n / scale + shift.
    public func decode(_ latents: [Float]) throws -> [Float] {
        let (scale, shift) = (manifest.latent.scale.map(Float.init), manifest.latent.shift.map(Float.init))
        let pixels = manifest.latent.shape[1] * manifest.latent.shape[2]
        let z = latents.enumerated().map { i, value in value / scale[i / pixels] + shift[i / pixels] }
        return try call("decoder", ["latents": .floats(z)], batch: 1)["image"]!
    }

    /// Classifier-free guidance, m = m_0 + w (m_c - m_0), both branches in one call.
    private func network(_ drawing: Drawing, _ size: Int) throws -> Network {
        let inputs = variant.components["denoiser"]!.inputs.map(\.name)
        let told = inputs.contains("guidance")
        let w = Float(drawing.guidance)
        var conditions = try conditions(drawing.prompt, negative: false)
        if told { conditions["guidance"] = .floats([w]) }
        let guided = w != 1 && !told
        if guided && negative == nil { negative = try nothing(like: conditions) }
        var fixed = conditions.filter { inputs.contains($0.key) }
        if guided, let negative { for (name, tensor) in fixed { fixed[name] = negative[name]!.joined(tensor) } }
        let batch = guided ? 2 : 1
        return { x, timestep in
            var feeds = fixed
            feeds["latents"] = .floats(guided ? x + x : x)
            feeds["timestep"] = .floats(Array(repeating: timestep, count: batch))
            let m = try self.call("denoiser", feeds, batch: batch).values.first!
            return guided ? (0..<size).map { m[$0] + w * (m[size + $0] - m[$0]) } : m
        }
    }

    private func nothing(like: [String: Tensor]) throws -> [String: Tensor] {
        guard let prompt = manifest.guidance.negativePrompt else { return like.mapValues(\.zeros) }
        return try conditions(prompt, negative: true)
    }

    /// Everything that is known of a text: tensors of the tokenizers and outputs of the text encoder.
    private func conditions(_ text: String, negative: Bool) throws -> [String: Tensor] {
        var known: [String: Tensor] = [:]
        for (k, tokenizer) in tokenizers.enumerated() {
            let suffix = k == 0 ? "" : "_\(k + 1)"
            for (name, tensor) in try tokenizer.encode(text, negative: negative) { known[name + suffix] = tensor }
        }
        if variant.components["text_encoder"] == nil { return known }
        for (name, values) in try call("text_encoder", known, batch: 1) { known[name] = .floats(values) }
        return known
    }

    private func call(_ component: String, _ feeds: [String: Tensor], batch: Int) throws -> [String: [Float]] {
        let names = variant.components[component]!.inputs.map(\.name)
        let start = ContinuousClock.now
        let outputs = try graphs[component]!.run(feeds.filter { names.contains($0.key) }, batch: batch)
        timings[component, default: []].append(milliseconds(since: start))
        return outputs
    }
}

func milliseconds(since start: ContinuousClock.Instant) -> Double {
    (ContinuousClock.now - start) / .milliseconds(1)
}
