package fewstep

/** A row of a tensor, or a batch of rows one behind the other. */
sealed interface Tensor

class Floats(val values: FloatArray) : Tensor

class Ints(val values: IntArray) : Tensor

/** A graph of the bundle in some engine. */
fun interface Graph {
    /** The outputs of one call; every input has `batch` rows. */
    fun run(feeds: Map<String, Tensor>, batch: Int): Map<String, FloatArray>
}

class Drawing(val prompt: String, val seed: ULong, val table: StepTable, val guidance: Double)

/** Prompt to picture: tokens, text encoder, the loop around the denoiser, decoder. Mirrors `runtime/fewstep/text_to_image.py`. */
class TextToImage(
    private val manifest: Manifest,
    private val variant: Variant,
    private val graphs: Map<String, Graph>,
    private val tokenizers: List<Tokenizer>,
) {
    /** Milliseconds of every call into a graph in the last drawing, by component. */
    var timings = emptyMap<String, MutableList<Double>>()
        private set
    private var negative: Map<String, Tensor>? = null

    /**
     * The picture (channels, H, W) in [0, 1], alpha premultiplied.
     *
     * `onStep` is told the number of every evaluation, from 1, and what the network takes the clean latents for; it may throw to stop.
     */
    fun draw(drawing: Drawing, onStep: (step: Int, data: FloatArray) -> Unit = { _, _ -> }): FloatArray {
        timings = variant.components.keys.associateWith { mutableListOf() }
        val size = manifest.latent.shape.reduce(Int::times)
        val steps = run(drawing.table, { stream -> gaussian(size, drawing.seed, stream.toULong()) }, network(drawing, size))
        return decode(steps.onEach { onStep(it.row + 1, it.data) }.last().latents)
    }

    /** The picture of normalised latents: the decoder sees z = z_n / scale + shift. */
    fun decode(latents: FloatArray): FloatArray {
        val (scale, shift) = listOf(manifest.latent.scale, manifest.latent.shift).map { values -> values.map(Double::toFloat) }
        val pixels = manifest.latent.shape[1] * manifest.latent.shape[2]
        val z = FloatArray(latents.size) { latents[it] / scale[it / pixels] + shift[it / pixels] }
        return call("decoder", mapOf("latents" to Floats(z)), 1).getValue("image")
    }

    /** Classifier-free guidance, m = m_0 + w (m_c - m_0), both branches in one call. */
    private fun network(drawing: Drawing, size: Int): Network {
        val inputs = variant.components.getValue("denoiser").inputs.map(Port::name)
        val told = "guidance" in inputs
        val w = drawing.guidance.toFloat()
        val conditions = conditions(drawing.prompt, negative = false) + if (told) mapOf("guidance" to Floats(floatArrayOf(w))) else emptyMap()
        val guided = w != 1f && !told
        val nothing = if (guided) negative ?: nothing(conditions).also { negative = it } else emptyMap()
        val fixed = conditions.filterKeys { it in inputs }.mapValues { (name, tensor) -> if (guided) joined(nothing.getValue(name), tensor) else tensor }
        val batch = if (guided) 2 else 1
        return { x, timestep ->
            val latents = Floats(if (guided) x + x else x)
            val feeds = fixed + mapOf("latents" to latents, "timestep" to Floats(FloatArray(batch) { timestep }))
            val m = call("denoiser", feeds, batch).values.single()
            if (guided) FloatArray(size) { m[it] + w * (m[size + it] - m[it]) } else m
        }
    }

    private fun nothing(like: Map<String, Tensor>): Map<String, Tensor> =
        manifest.guidance.negativePrompt?.let { conditions(it, negative = true) } ?: like.mapValues { (_, tensor) -> zeros(tensor) }

    /** Everything that is known of a text: tensors of the tokenizers and outputs of the text encoder. */
    private fun conditions(text: String, negative: Boolean): Map<String, Tensor> {
        val known = mutableMapOf<String, Tensor>()
        tokenizers.forEachIndexed { k, tokenizer ->
            val suffix = if (k == 0) "" else "_${k + 1}"
            known += tokenizer.encode(text, negative).mapKeys { (name, _) -> name + suffix }
        }
        if ("text_encoder" !in variant.components) return known
        return known + call("text_encoder", known, 1).mapValues { (_, values) -> Floats(values) }
    }

    private fun call(component: String, feeds: Map<String, Tensor>, batch: Int): Map<String, FloatArray> {
        val start = System.nanoTime()
        val inputs = variant.components.getValue(component).inputs
        val outputs = graphs.getValue(component).run(inputs.associate { it.name to feeds.getValue(it.name) }, batch)
        timings[component]?.add((System.nanoTime() - start) / 1e6)
        return outputs
    }
}

private fun joined(a: Tensor, b: Tensor): Tensor =
    if (a is Ints && b is Ints) Ints(a.values + b.values) else Floats((a as Floats).values + (b as Floats).values)

private fun zeros(tensor: Tensor): Tensor =
    when (tensor) {
        is Ints -> Ints(IntArray(tensor.values.size))
        is Floats -> Floats(FloatArray(tensor.values.size))
    }
