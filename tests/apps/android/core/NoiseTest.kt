package fewstep

import kotlin.math.abs
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class NoiseCase(val seed: String, val stream: String, val values: List<Double>)

class NoiseFile(val cases: List<NoiseCase>)

class NoiseTest {
    /** Known answers of Random123 (Salmon et al. 2011), kat_vectors, "philox4x32 10": counter, key, words. */
    @Test
    fun `philox gives the words of its authors`() {
        val answers = listOf(
            Triple("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
            Triple("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
            Triple("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
        )
        fun words(text: String) = text.split(" ").map { it.toUInt(16) }
        for ((counter, key, expected) in answers) {
            assertEquals(words(expected), philox4x32(words(counter), words(key).let { (low, high) -> low to high }))
        }
    }

    @Test
    fun `noise is that of Python`() {
        for (case in golden("noise.json", NoiseFile::class.java).cases) {
            val found = gaussian(case.values.size, case.seed.toULong(), case.stream.toULong())
            for ((value, expected) in found.zip(case.values)) {
                assertTrue("$value for $expected", abs(value - expected) <= abs(expected) * 2e-7)
            }
        }
    }

    @Test
    fun `a longer array begins with a shorter one`() {
        assertArrayEquals(gaussian(6, 7u, 0u), gaussian(9, 7u, 0u).copyOf(6), 0f)
    }
}
