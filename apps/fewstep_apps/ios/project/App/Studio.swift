import Fewstep
import SwiftUI
import UIKit

struct Stopped: LocalizedError {
    var errorDescription: String? { "It was stopped." }
}

/// Whether somebody no longer wants what is computed; read on another thread than it is set on.
final class StopSign: @unchecked Sendable {
    private let lock = NSLock()
    private var raised = false

    func raise() { lock.withLock { raised = true } }

    func check() throws { if lock.withLock({ raised }) { throw Stopped() } }
}

/// What the screens show, and the model, which works on a queue of its own.
@MainActor
final class Studio: ObservableObject {
    @Published var status = "Loading the model"
    @Published var model: Model?
    @Published var picture: UIImage?
    @Published var sticker: URL?
    @Published var progress = 0.0
    @Published var busy = false
    private var sign = StopSign()
    private let queue = DispatchQueue(label: "fewstep.model", qos: .userInitiated)

    func load() async {
        guard model == nil else { return }
        do {
            model = try await background { try Model() }
            status = ""
        } catch {
            status = error.localizedDescription
        }
    }

    func stop() { sign.raise() }

    /// Runs it on the model's queue, with a sign that `stop` raises; what goes wrong is shown.
    func work(_ job: @escaping (Model, StopSign) throws -> String) async {
        guard let model, !busy else { return }
        sign = StopSign()
        busy = true
        defer { busy = false }
        do {
            let sign = sign
            status = try await background { try job(model, sign) }
        } catch {
            status = error.localizedDescription
        }
        progress = 0
    }

    private func background<T>(_ job: @escaping () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result(catching: job)) }
        }
    }
}

/// The decoder's picture with its transparent background.
func image(_ pixels: [Float], size: Int) -> UIImage? {
    let data = Data(toRgba(pixels, size: size)) as CFData
    let alpha = CGBitmapInfo(rawValue: CGImageAlphaInfo.last.rawValue)
    guard let provider = CGDataProvider(data: data), let space = CGColorSpace(name: CGColorSpace.sRGB) else { return nil }
    let made = CGImage(
        width: size, height: size, bitsPerComponent: 8, bitsPerPixel: 32, bytesPerRow: 4 * size, space: space, bitmapInfo: alpha,
        provider: provider, decode: nil, shouldInterpolate: false, intent: .defaultIntent)
    return made.map { UIImage(cgImage: $0) }
}
