package fewstep

import kotlin.math.tanh
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class Vector(
    val name: String,
    val table: StepTable,
    val noise: Map<String, List<Double>>,
    val latents: Map<String, List<Double>>,
    val edit: Any?,
)

class VectorFile(val shape: List<Int>, val tolerance: Double, val vectors: List<Vector>)

class LoopTest {
    private val file = golden("golden_sampler_vectors.json", VectorFile::class.java)
    private val width = file.shape.last()

    /** m = tanh(0.5 y + timestep / 1000), y the input with its last axis reversed, in float32. */
    private fun network(x: FloatArray, timestep: Float): FloatArray =
        FloatArray(x.size) { i -> tanh((0.5f * x[i - i % width + width - 1 - i % width] + timestep / 1000).toDouble()).toFloat() }

    @Test
    fun `every sampler draws the latents of Python`() {
        val vectors = file.vectors.filter { it.edit == null } // the app has no editing of pictures
        assertTrue(vectors.size > 10)
        for (vector in vectors) {
            val noise = { stream: Int -> floats(vector.noise.getValue("$stream")) }
            for (step in run(vector.table, noise, ::network)) {
                val expected = vector.latents["${step.row}"] ?: continue
                assertArrayEquals("${vector.name}, row ${step.row}", floats(expected), step.latents, file.tolerance.toFloat())
            }
        }
    }
}

private fun floats(values: List<Double>) = FloatArray(values.size) { values[it].toFloat() }
