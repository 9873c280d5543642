package fewstep

import java.text.Normalizer
import java.util.Locale

class AddedToken(val id: Int, val content: String)

class BertNormalizer(val cleanText: Boolean, val handleChineseChars: Boolean, val stripAccents: Boolean?, val lowercase: Boolean)

class TemplatePiece(@com.google.gson.annotations.SerializedName("SpecialToken") val special: TemplateToken?)

class TemplateToken(val id: String)

class TokenIds(val ids: List<Int>)

class TemplateProcessing(val single: List<TemplatePiece>, val specialTokens: Map<String, TokenIds>)

class WordPiece(
    val vocab: Map<String, Int>,
    val unkToken: String,
    val continuingSubwordPrefix: String,
    val maxInputCharsPerWord: Int,
)

class Padding(val padId: Int)

/** A tokenizer.json of the `tokenizers` package, as far as it is BERT's. */
class TokenizerFile(
    val padding: Padding?,
    val addedTokens: List<AddedToken>,
    val normalizer: BertNormalizer?,
    val postProcessor: TemplateProcessing?,
    val model: WordPiece,
)

class PromptTooLong(found: Int, limit: Int) : Exception("This prompt has $found tokens; at most $limit fit. Shorten it.")

/**
 * WordPiece with BERT's normalisation, as the `tokenizers` package computes it from the same tokenizer.json.
 * `fewstep package` refuses a bundle whose tokenizer is another one.
 */
class Tokenizer(private val file: TokenizerFile, private val record: TokenizerRecord) {
    private val added = file.addedTokens.associate { it.content to it.id }
    private val addedPattern = if (added.isEmpty()) null else Regex(added.keys.joinToString("|", transform = Regex::escape))

    /** `input_ids`, `text_mask` and `text_skip` of one prompt, or of a negative prompt, inside its template. Throws PromptTooLong. */
    fun encode(text: String, negative: Boolean = false): Map<String, Tensor> {
        val template = if (negative) record.negative else record.prompt
        val prompt = if (record.lowercase) text.trim().lowercase(Locale.ROOT) else text
        val found = ids(template.before + prompt + template.after)
        if (found.size > record.maxLength) throw PromptTooLong(found.size, record.maxLength)
        val pad = file.padding?.padId ?: file.model.vocab["[PAD]"] ?: 0
        return mapOf(
            "input_ids" to Ints(IntArray(record.maxLength) { found.getOrElse(it) { pad } }),
            "text_mask" to Floats(FloatArray(record.maxLength) { if (it < found.size) 1f else 0f }),
            "text_skip" to Ints(intArrayOf(template.skip)),
        )
    }

    /** Token numbers with the special tokens around them, without padding. */
    fun ids(text: String): List<Int> {
        val body = pieces(text).flatMap { piece -> added[piece]?.let(::listOf) ?: words(piece).flatMap(::wordIds) }
        val processor = file.postProcessor ?: return body
        return processor.single.flatMap { piece -> piece.special?.let { processor.specialTokens[it.id]?.ids.orEmpty() } ?: body }
    }

    /** The text cut at added tokens, with these as pieces of their own. */
    private fun pieces(text: String): List<String> {
        val matches = addedPattern?.findAll(text).orEmpty().toList()
        val starts = listOf(0) + matches.flatMap { listOf(it.range.first, it.range.last + 1) }
        return starts.zip(starts.drop(1) + text.length) { start, end -> text.substring(start, end) }
    }

    /** BertNormalizer, then BertPreTokenizer. */
    private fun words(text: String): List<String> {
        val options = file.normalizer
        var normal = text
        if (options?.cleanText == true) normal = clean(normal)
        if (options?.handleChineseChars == true) normal = CHINESE.replace(normal, " $0 ")
        if (options?.stripAccents ?: options?.lowercase == true) normal = MARKS.replace(Normalizer.normalize(normal, Normalizer.Form.NFD), "")
        // Character by character, as Rust does: a whole string would turn a last sigma into another letter.
        if (options?.lowercase == true) normal = characters(normal).joinToString("") { it.lowercase(Locale.ROOT) }
        return normal.split(SPACE).flatMap { word -> PUNCTUATION.replace(word, "\u0000$0\u0000").split("\u0000") }.filter(String::isNotEmpty)
    }

    /** The longest pieces of the vocabulary, from left to right; one unknown token if they do not fill the word. */
    private fun wordIds(word: String): List<Int> {
        val model = file.model
        val unknown = listOf(model.vocab[model.unkToken] ?: 0)
        val characters = characters(word)
        if (characters.size > model.maxInputCharsPerWord) return unknown
        val ids = mutableListOf<Int>()
        var start = 0
        while (start < characters.size) {
            val prefix = if (start > 0) model.continuingSubwordPrefix else ""
            val end = (characters.size downTo start + 1).find { prefix + characters.subList(start, it).joinToString("") in model.vocab }
            ids += model.vocab.getValue(prefix + characters.subList(start, end ?: return unknown).joinToString(""))
            start = end
        }
        return ids
    }
}

private val CHINESE =
    Regex("[\\u4E00-\\u9FFF\\u3400-\\u4DBF\\x{20000}-\\x{2A6DF}\\x{2A700}-\\x{2B73F}\\x{2B740}-\\x{2B81F}\\x{2B920}-\\x{2CEAF}\\uF900-\\uFAFF\\x{2F800}-\\x{2FA1F}]")
private val MARKS = Regex("\\p{Mn}")
private val SPACE = Regex("\\p{IsWhite_Space}+")
// ASCII symbols like $ + < count as punctuation too.
private val PUNCTUATION = Regex("[!-/:-@\\[-`{-~]|\\p{P}")

/** Without control characters, every white space a blank. */
private fun clean(text: String): String =
    text.replace(Regex("[\\t\\n\\r]"), " ")
        .replace(Regex("[\\x00\\uFFFD]|\\p{Cc}|\\p{Cf}|\\p{Cn}|\\p{Co}"), "")
        .replace(Regex("\\p{IsWhite_Space}"), " ")

private fun characters(text: String): List<String> = text.codePoints().toArray().map { String(Character.toChars(it)) }
