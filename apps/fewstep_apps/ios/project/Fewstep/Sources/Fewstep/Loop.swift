/// stream -> unit normal noise: stream 0 begins the run, stream i + 1 belongs to row i.
public typealias Noise = (Int) -> [Float]
/// (scaled latents, timestep) -> network output of the same size; guidance is inside it.
public typealias Network = ([Float], Float) throws -> [Float]

/// After a row: the latents, of which the last are the sample; and what the network takes the clean latents for.
public struct Step {
    public let row: Int
    public let latents: [Float]
    public let data: [Float]
}

/// The sampling loop: every sampler, as data. The same as `runtime/fewstep/loop.py`, product by product, in float32.
///
/// `onStep` is told of every row of the table, and may throw to stop.
public func run(_ table: StepTable, noise: Noise, network: Network, onStep: (Step) throws -> Void) throws {
    let initial = noise(0)
    let kept = table.rows.map(\.state.count).max() ?? 1
    var state = [[Float]](repeating: [Float](repeating: 0, count: initial.count), count: kept)
    state[0] = times(table.initialScale, initial)
    for (i, row) in table.rows.enumerated() {
        let m = try network(times(row.inputScale, state[0]), Float(row.timestep))
        let n = row.noise.isEmpty ? nil : noise(i + 1)
        var data = times(row.data[1], m)
        add(&data, row.data[0], state[0])
        var after = state
        for (k, coefficients) in row.state.enumerated() {
            after[k] = times(row.output[k], m)
            for (coefficient, array) in zip(coefficients, state) { add(&after[k], coefficient, array) }
            if let n { add(&after[k], row.noise[k], n) }
        }
        state = after
        try onStep(Step(row: i, latents: state[0], data: data))
    }
}

private func times(_ coefficient: Double, _ array: [Float]) -> [Float] {
    let c = Float(coefficient)
    return array.map { c * $0 }
}

/// Swift rounds the product before the sum, as every port does: two languages then agree to the bit.
private func add(_ out: inout [Float], _ coefficient: Double, _ array: [Float]) {
    let c = Float(coefficient)
    if c == 0 { return }
    for i in out.indices { out[i] += c * array[i] }
}
