package fewstep

import com.google.gson.FieldNamingPolicy
import com.google.gson.GsonBuilder

// What the app reads of a bundle; `docs/architecture.md` describes all of it. `fewstep package` checked it against the schema.

class StepRow(
    val timestep: Double,
    val inputScale: Double,
    val data: List<Double>,
    val state: List<List<Double>>,
    val output: List<Double>,
    val noise: List<Double>,
)

class StepTable(val sampler: String, val initialScale: Double, val rows: List<StepRow>)

/** A shape holds numbers, or a name for a free dimension. */
class Port(val name: String, val dtype: String, val shape: List<Any>) {
    /** The dimensions behind the first, which is the batch. */
    val row: List<Int> get() = shape.drop(1).map { (it as Double).toInt() }
}

class Component(val file: String, val inputs: List<Port>, val outputs: List<Port>)

class Variant(val name: String, val precision: String, val components: Map<String, Component>)

class Template(val before: String, val after: String, val skip: Int)

class TokenizerRecord(val file: String, val maxLength: Int, val lowercase: Boolean, val prompt: Template, val negative: Template)

class Guidance(val scale: Double, val negativePrompt: String?)

/** Shape (C, h, w), and z = z_n / scale + shift with one value a channel. */
class Latent(val shape: List<Int>, val scale: List<Double>, val shift: List<Double>)

class Picture(val size: Int, val channels: String)

class Prompts(val styles: List<String>, val examples: List<String>)

class Manifest(
    val name: String,
    val variants: List<Variant>,
    val stepTables: Map<String, StepTable>,
    val defaultStepTable: String,
    val guidance: Guidance,
    val latent: Latent,
    val image: Picture,
    val tokenizers: List<TokenizerRecord>,
    val prompts: Prompts,
)

private val gson =
    GsonBuilder().setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES).serializeNulls().setPrettyPrinting().create()

/** Reads one of the classes of this file, or of the tokenizer's. */
fun <T> fromJson(text: String, type: Class<T>): T = gson.fromJson(text, type)

fun toJson(value: Any): String = gson.toJson(value)
