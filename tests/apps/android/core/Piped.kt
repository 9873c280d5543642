package fewstep

import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.File

/**
 * Draws a picture, and measures, with graphs at the other end of standard input and output: `tests/apps/piped.py` runs them there.
 *
 * A call is a line "COMPONENT BATCH NAME:f|i:COUNT ..." and the numbers, big-endian; the answer "NAME:COUNT ..." and the numbers. The
 * picture is a line "picture COUNT" and its pixels.
 */
fun main(arguments: Array<String>) {
    val (bundle, prompt, seed, report) = arguments
    val manifest = fromJson(File(bundle, "manifest.json").readText(), Manifest::class.java)
    val tokenizers = manifest.tokenizers.map { Tokenizer(fromJson(File(bundle, it.file).readText(), TokenizerFile::class.java), it) }
    val variant = manifest.variants.first()
    val (input, output) = DataInputStream(System.`in`) to DataOutputStream(System.out.buffered())
    val graphs = variant.components.mapValues { (name, _) -> Graph { feeds, batch -> ask(input, output, name, batch, feeds) } }
    val model = TextToImage(manifest, variant, graphs, tokenizers)
    val table = manifest.stepTables.getValue(manifest.defaultStepTable)

    val steps = mutableListOf<Int>()
    val picture = model.draw(Drawing(prompt, seed.toULong(), table, manifest.guidance.scale)) { step, _ -> steps += step }
    check(steps == (1..table.rows.size).toList())
    val pixels = toArgb(picture, manifest.image.size)
    output.writeBytes("picture ${pixels.size}\n")
    pixels.forEach(output::writeInt)
    output.flush()

    val silent = object : Device {
        override fun charge() = 0.5

        override fun memoryBytes(): Long? = null
    }
    val build = Build(manifest.name, variant.name, "pipe", 1, "", table.rows.size, 1.0)
    val made = Report("a test", "2026-11-26T00:00:00Z", build, mapOf("model" to "JVM", "system" to "Kotlin"))
    measure(Job(prompt, seed.toULong(), warmup = 0, runs = 2, sustainedSeconds = 0.01), model, manifest, silent, made) {}
    File(report).writeText(toJson(Reports(listOf(made))))
}

private fun ask(input: DataInputStream, output: DataOutputStream, name: String, batch: Int, feeds: Map<String, Tensor>): Map<String, FloatArray> {
    val ports = feeds.map { (port, tensor) -> if (tensor is Ints) "$port:i:${tensor.values.size}" else "$port:f:${(tensor as Floats).values.size}" }
    output.writeBytes("$name $batch ${ports.joinToString(" ")}\n")
    for (tensor in feeds.values) {
        when (tensor) {
            is Ints -> tensor.values.forEach(output::writeInt)
            is Floats -> tensor.values.forEach(output::writeFloat)
        }
    }
    output.flush()
    val line = generateSequence { input.readByte().toInt().toChar() }.takeWhile { it != '\n' }.joinToString("")
    return line.split(" ").map { it.split(":") }.associate { (port, count) -> port to FloatArray(count.toInt()) { input.readFloat() } }
}
