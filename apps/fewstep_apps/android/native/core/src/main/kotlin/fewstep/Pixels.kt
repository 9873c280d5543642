package fewstep

import kotlin.math.floor

/**
 * The decoder's (3 or 4, H, W) in [0, 1] with alpha premultiplied as 0xAARRGGBB with straight alpha, row by row.
 * The same rounding as `runtime/fewstep/image.py`.
 */
fun toArgb(image: FloatArray, size: Int): IntArray {
    val pixels = size * size
    val opaque = image.size == 3 * pixels
    return IntArray(pixels) { i ->
        val alpha = if (opaque) 1f else image[3 * pixels + i].coerceIn(0f, 1f)
        val colours = (0..2).map { channel -> image[channel * pixels + i].coerceIn(0f, alpha) }
        val (red, green, blue) = colours.map { level(if (alpha > 0) it / alpha else 0f) }
        level(alpha) shl 24 or (red shl 16) or (green shl 8) or blue
    }
}

private fun level(value: Float): Int = floor(value * 255f + 0.5f).toInt()
