package fewstep

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class TokenCase(val text: String, val ids: List<Int>)

class TokenGolden(val tokenizer: TokenizerFile, val cases: List<TokenCase>)

class TokenizerTest {
    private val file = golden("tokens.json", TokenGolden::class.java)
    private val plain = Template("", "", 0)
    private val tokenizer = Tokenizer(file.tokenizer, TokenizerRecord("tokenizer.json", 8, false, Template("a ", "", 1), plain))

    @Test
    fun `tokens are those of the package tokenizers`() {
        for (case in file.cases) assertEquals(case.text, case.ids, tokenizer.ids(case.text))
    }

    @Test
    fun `a prompt is set into its template and padded`() {
        val tokens = tokenizer.encode("red")
        assertArrayEquals(floatArrayOf(1f, 1f, 1f, 1f, 0f, 0f, 0f, 0f), (tokens.getValue("text_mask") as Floats).values, 0f)
        assertEquals(tokenizer.ids("a red"), (tokens.getValue("input_ids") as Ints).values.take(4))
        assertArrayEquals(intArrayOf(1), (tokens.getValue("text_skip") as Ints).values)
        assertEquals(3f, (tokenizer.encode("red", negative = true).getValue("text_mask") as Floats).values.sum())
    }

    @Test
    fun `a prompt that is too long is refused in words`() {
        val error = assertThrows(PromptTooLong::class.java) { tokenizer.encode("red ".repeat(20)) }
        assertEquals("This prompt has 23 tokens; at most 8 fit. Shorten it.", error.message)
    }
}
