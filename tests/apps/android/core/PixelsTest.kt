package fewstep

import org.junit.Assert.assertEquals
import org.junit.Test

class PixelsTest {
    @Test
    fun `premultiplied colours become straight ones and nothing is left of what is clear`() {
        // Two by two pixels: opaque, half, clear with colour left over, and out of range.
        val red = listOf(1f, 0.25f, 0.5f, 2f)
        val green = listOf(0.5f, 0f, 0.5f, -1f)
        val blue = listOf(0f, 0f, 0.5f, 0.5f)
        val alpha = listOf(1f, 0.5f, 0f, 1.5f)
        val found = toArgb((red + green + blue + alpha).toFloatArray(), 2).map { it.toUInt() }
        assertEquals(listOf(0xFFFF8000u, 0x80800000u, 0u, 0xFFFF0080u), found)
    }

    @Test
    fun `three channels are opaque`() {
        assertEquals(0xFFFF0080u, toArgb(floatArrayOf(1f, 0f, 0.5f), 1).single().toUInt())
    }
}
