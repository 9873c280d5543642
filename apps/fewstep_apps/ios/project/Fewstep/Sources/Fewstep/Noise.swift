import Foundation

// The Gaussian noise of every language of the project: Philox 4x32-10 and the Box-Muller transform.
// `runtime/fewstep/noise.py` holds the whole definition; the numbered steps below are its own.

private let m0: UInt64 = 0xD251_1F53
private let m1: UInt64 = 0xCD9E_8D57
private let w0: UInt32 = 0x9E37_79B9
private let w1: UInt32 = 0xBB67_AE85
private let rounds = 10

/// Step 1: ten rounds of Philox on a counter of four words, with a key of two.
public func philox4x32(_ counter: [UInt32], key: (UInt32, UInt32)) -> [UInt32] {
    var (c0, c1, c2, c3) = (counter[0], counter[1], counter[2], counter[3])
    var (k0, k1) = key
    for _ in 0..<rounds {
        let p0 = UInt64(c0) * m0
        let p1 = UInt64(c2) * m1
        c0 = UInt32(p1 >> 32) ^ c1 ^ k0
        c1 = UInt32(truncatingIfNeeded: p1)
        c2 = UInt32(p0 >> 32) ^ c3 ^ k1
        c3 = UInt32(truncatingIfNeeded: p0)
        k0 &+= w0
        k1 &+= w1
    }
    return [c0, c1, c2, c3]
}

/// Independent N(0, 1) numbers that depend on (seed, stream) alone.
public func gaussian(_ size: Int, seed: UInt64, stream: UInt64) -> [Float] {
    let key = (UInt32(truncatingIfNeeded: seed), UInt32(seed >> 32))
    var out: [Float] = []
    out.reserveCapacity(size + 3)
    for block in 0..<(size + 3) / 4 {
        let words = philox4x32([UInt32(block), 0, UInt32(truncatingIfNeeded: stream), UInt32(stream >> 32)], key: key)
        for pair in [0, 2] {
            let radius = sqrt(-2 * log((Double(words[pair]) + 1) * 0x1p-32)) // steps 3 and 4
            let angle = 2 * Double.pi * ((Double(words[pair + 1]) + 1) * 0x1p-32)
            out.append(Float(radius * cos(angle)))
            out.append(Float(radius * sin(angle)))
        }
    }
    return Array(out.prefix(size)) // step 5
}
