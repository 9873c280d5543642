#if canImport(CoreML)
import CoreML
import Foundation

public struct MissingOutput: LocalizedError {
    let name: String
    public var errorDescription: String? { "The graph gave no output \(name)." }
}

/// A graph in Core ML. The shapes of a package are fixed to one row, so that larger batches run row by row.
public final class CoreMLGraph: Graph {
    private let model: MLModel
    private let component: Component

    /// - Parameter program: the compiled NAME.mlmodelc.
    public init(_ program: URL, component: Component, units: MLComputeUnits = .all) throws {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units
        model = try MLModel(contentsOf: program, configuration: configuration)
        self.component = component
    }

    public func run(_ feeds: [String: Tensor], batch: Int) throws -> [String: [Float]] {
        var outputs: [String: [Float]] = [:]
        for row in 0..<batch {
            var values: [String: MLFeatureValue] = [:]
            for port in component.inputs { values[port.name] = feature(port, feeds[port.name]!, row, of: batch) }
            let found = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: values))
            for port in component.outputs {
                guard let array = found.featureValue(for: port.name)?.multiArrayValue else { throw MissingOutput(name: port.name) }
                outputs[port.name, default: []] += MLShapedArray<Float>(converting: array).scalars
            }
        }
        return outputs
    }

    private func feature(_ port: Port, _ tensor: Tensor, _ row: Int, of batch: Int) -> MLFeatureValue {
        let shape = [1] + port.row
        switch tensor {
        case .floats(let values): return MLFeatureValue(shapedArray: MLShapedArray<Float>(scalars: part(values, row, batch), shape: shape))
        case .ints(let values): return MLFeatureValue(shapedArray: MLShapedArray<Int32>(scalars: part(values, row, batch), shape: shape))
        }
    }
}

private func part<T>(_ values: [T], _ row: Int, _ batch: Int) -> [T] {
    let size = values.count / batch
    return Array(values[row * size..<(row + 1) * size])
}
#endif
