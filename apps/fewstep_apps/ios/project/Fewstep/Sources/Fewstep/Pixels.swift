/// The decoder's (3 or 4, H, W) in [0, 1] with alpha premultiplied as RGBA bytes with straight alpha, row by row.
/// The same rounding as `runtime/fewstep/image.py`.
public func toRgba(_ image: [Float], size: Int) -> [UInt8] {
    let pixels = size * size
    let opaque = image.count == 3 * pixels
    var rgba = [UInt8](repeating: 0, count: 4 * pixels)
    for i in 0..<pixels {
        let alpha = opaque ? 1 : min(max(image[3 * pixels + i], 0), 1)
        for channel in 0..<3 {
            let premultiplied = min(max(image[channel * pixels + i], 0), alpha)
            rgba[4 * i + channel] = level(alpha > 0 ? premultiplied / alpha : 0)
        }
        rgba[4 * i + 3] = level(alpha)
    }
    return rgba
}

private func level(_ value: Float) -> UInt8 { UInt8((value * 255 + 0.5).rounded(.down)) }
