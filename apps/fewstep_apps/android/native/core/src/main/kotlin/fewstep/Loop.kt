package fewstep

/** stream -> unit normal noise: stream 0 begins the run, stream i + 1 belongs to row i. */
typealias Noise = (stream: Int) -> FloatArray
/** (scaled latents, timestep) -> network output of the same size; guidance is inside it. */
typealias Network = (x: FloatArray, timestep: Float) -> FloatArray

/** After a row: the latents, the loop's own, of which the last are the sample; and what the network takes the clean latents for. */
class Step(val row: Int, val latents: FloatArray, val data: FloatArray)

/**
 * The sampling loop: every sampler, as data. The same as `runtime/fewstep/loop.py`, product by product, in float32.
 *
 * Gives a step after every row of the table. Stop by leaving the loop.
 */
fun run(table: StepTable, noise: Noise, network: Network): Sequence<Step> = sequence {
    val initial = noise(0)
    val kept = table.rows.maxOf { it.state.size }
    var state = List(kept) { FloatArray(initial.size) }
    var after = List(kept) { FloatArray(initial.size) }
    val scaled = FloatArray(initial.size)
    val data = FloatArray(initial.size)
    set(state[0], table.initialScale, initial)
    for ((i, row) in table.rows.withIndex()) {
        set(scaled, row.inputScale, state[0])
        val m = network(scaled, row.timestep.toFloat())
        val n = if (row.noise.isEmpty()) null else noise(i + 1)
        set(data, row.data[1], m)
        add(data, row.data[0], state[0])
        for ((k, coefficients) in row.state.withIndex()) {
            set(after[k], row.output[k], m)
            coefficients.forEachIndexed { j, coefficient -> add(after[k], coefficient, state[j]) }
            if (n != null) add(after[k], row.noise[k], n)
        }
        state = after.also { after = state }
        yield(Step(i, state[0], data))
    }
}

private fun set(out: FloatArray, coefficient: Double, array: FloatArray) {
    val c = coefficient.toFloat()
    for (i in out.indices) out[i] = c * array[i]
}

/** The JVM rounds the product before the sum, as every port does: two languages then agree to the bit. */
private fun add(out: FloatArray, coefficient: Double, array: FloatArray) {
    val c = coefficient.toFloat()
    if (c == 0f) return
    for (i in out.indices) out[i] += c * array[i]
}
