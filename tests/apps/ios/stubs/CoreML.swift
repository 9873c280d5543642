// Signatures of Core ML as far as the app uses them, from developer.apple.com/documentation/coreml (iOS 17), to compile against on Linux.

import Foundation

public enum MLComputeUnits { case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine }

public final class MLModelConfiguration {
    public var computeUnits = MLComputeUnits.all
    public init() {}
}

public final class MLMultiArray {}

public protocol MLShapedArrayScalar {}
extension Float: MLShapedArrayScalar {}
extension Int32: MLShapedArrayScalar {}

public struct MLShapedArray<Scalar: MLShapedArrayScalar> {
    public var scalars: [Scalar]
    public init<S: Sequence>(scalars: S, shape: [Int]) where S.Element == Scalar { self.scalars = Array(scalars) }
    public init(converting multiArray: MLMultiArray) { scalars = [] }
}

public final class MLFeatureValue {
    public var multiArrayValue: MLMultiArray?
    public init<Scalar: MLShapedArrayScalar>(shapedArray: MLShapedArray<Scalar>) {}
}

public protocol MLFeatureProvider {
    func featureValue(for featureName: String) -> MLFeatureValue?
}

public final class MLDictionaryFeatureProvider: MLFeatureProvider {
    public init(dictionary: [String: Any]) throws {}
    public func featureValue(for featureName: String) -> MLFeatureValue? { nil }
}

public final class MLModel {
    public init(contentsOf url: URL, configuration: MLModelConfiguration) throws {}
    public func prediction(from input: MLFeatureProvider) throws -> MLFeatureProvider { input }
}
