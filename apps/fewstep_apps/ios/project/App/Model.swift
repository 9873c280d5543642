import CoreML
import Fewstep
import Foundation

struct MissingFile: LocalizedError {
    let name: String
    var errorDescription: String? { "The app holds no \(name); make it again with fewstep package." }
}

/// The bundle inside the app, loaded.
final class Model {
    let manifest: Manifest
    let variant: Variant
    let textToImage: TextToImage
    let loadMs: Double

    /// Takes a second or more, and far longer at the first start, when Core ML prepares the programs for this phone.
    init() throws {
        let start = Date.now
        guard let folder = Bundle.main.url(forResource: "Bundle", withExtension: nil) else { throw MissingFile(name: "Bundle") }
        let manifest = try read(Manifest.self, from: folder.appendingPathComponent("manifest.json"))
        guard let variant = manifest.variants.first else { throw MissingFile(name: "build") }
        let graphs: [String: Graph] = try variant.components.mapValues { component -> Graph in
            // Xcode compiles NAME.mlpackage of the project to NAME.mlmodelc in the app.
            let name = URL(fileURLWithPath: component.file).deletingPathExtension().lastPathComponent
            guard let program = Bundle.main.url(forResource: name, withExtension: "mlmodelc") else { throw MissingFile(name: name) }
            return try CoreMLGraph(program, component: component)
        }
        let tokenizers = try manifest.tokenizers.map { record in
            Tokenizer(try read(TokenizerFile.self, from: folder.appendingPathComponent(record.file)), record)
        }
        (self.manifest, self.variant) = (manifest, variant)
        textToImage = TextToImage(manifest, variant: variant, graphs: graphs, tokenizers: tokenizers)
        loadMs = Date.now.timeIntervalSince(start) * 1000
    }
}
