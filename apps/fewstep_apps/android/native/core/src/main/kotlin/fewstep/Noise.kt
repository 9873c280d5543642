package fewstep

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.ln
import kotlin.math.sin
import kotlin.math.sqrt

// The Gaussian noise of every language of the project: Philox 4x32-10 and the Box-Muller transform.
// `runtime/fewstep/noise.py` holds the whole definition; the numbered steps below are its own.

private const val M0 = 0xD2511F53u
private const val M1 = 0xCD9E8D57u
private const val W0 = 0x9E3779B9u
private const val W1 = 0xBB67AE85u
private const val ROUNDS = 10
private const val LOWEST = 1.0 / 4294967296.0 // 2^-32

/** Step 1: ten rounds of Philox on a counter of four words, with a key of two. */
fun philox4x32(counter: List<UInt>, key: Pair<UInt, UInt>): List<UInt> {
    var (c0, c1, c2, c3) = counter
    var (k0, k1) = key
    repeat(ROUNDS) {
        val p0 = c0.toULong() * M0
        val p1 = c2.toULong() * M1
        c0 = (p1 shr 32).toUInt() xor c1 xor k0
        c1 = p1.toUInt()
        c2 = (p0 shr 32).toUInt() xor c3 xor k1
        c3 = p0.toUInt()
        k0 += W0
        k1 += W1
    }
    return listOf(c0, c1, c2, c3)
}

/** Independent N(0, 1) numbers that depend on (seed, stream) alone. */
fun gaussian(size: Int, seed: ULong, stream: ULong): FloatArray {
    val key = seed.toUInt() to (seed shr 32).toUInt()
    val out = FloatArray(size)
    for (block in 0..<(size + 3) / 4) {
        val words = philox4x32(listOf(block.toUInt(), 0u, stream.toUInt(), (stream shr 32).toUInt()), key)
        for (pair in 0..2 step 2) {
            val radius = sqrt(-2 * ln((words[pair].toDouble() + 1) * LOWEST)) // steps 3 and 4
            val angle = 2 * PI * ((words[pair + 1].toDouble() + 1) * LOWEST)
            val at = 4 * block + pair
            if (at < size) out[at] = (radius * cos(angle)).toFloat() // beyond the end nothing is written: step 5
            if (at + 1 < size) out[at + 1] = (radius * sin(angle)).toFloat()
        }
    }
    return out
}
