package fewstep.app

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.CheckBox
import android.widget.EditText
import android.widget.ImageView
import android.widget.ProgressBar
import android.widget.Spinner
import android.widget.TextView
import fewstep.Drawing
import java.util.concurrent.Executors
import kotlin.random.Random

/** The drawing screen: reads the form, draws on a thread of its own, shows what comes. */
class MainActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()
    private val picture: ImageView by lazy { findViewById(R.id.picture) }
    private val progress: ProgressBar by lazy { findViewById(R.id.progress) }
    private val status: TextView by lazy { findViewById(R.id.status) }
    private val prompt: EditText by lazy { findViewById(R.id.prompt) }
    private val seed: EditText by lazy { findViewById(R.id.seed) }
    private val style: Spinner by lazy { findViewById(R.id.style) }
    private val steps: Spinner by lazy { findViewById(R.id.steps) }
    private val preview: CheckBox by lazy { findViewById(R.id.preview) }
    private val draw: Button by lazy { findViewById(R.id.draw) }
    private val save: Button by lazy { findViewById(R.id.save) }
    private val share: Button by lazy { findViewById(R.id.share) }
    private var model: Model? = null
    private var sticker: Sticker? = null
    private var drawing = false
    @Volatile private var stopped = false

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.main)
        draw.setOnClickListener { if (drawing) stopped = true else start() }
        findViewById<Button>(R.id.dice).setOnClickListener { seed.setText("${Random.nextInt(100_000)}") }
        save.setOnClickListener { told { sticker?.save(this)?.let { status.setText(R.string.saved) } } }
        share.setOnClickListener { told { sticker?.share(this) } }
        findViewById<Button>(R.id.bench).setOnClickListener { startActivity(Intent(this, BenchActivity::class.java)) }
        findViewById<Button>(R.id.licences).setOnClickListener { startActivity(Intent(this, LicencesActivity::class.java)) }
        inBackground { Model(assets).also { loaded -> runOnUiThread { show(loaded) } } }
    }

    override fun onDestroy() {
        stopped = true
        worker.execute { model?.close() }
        worker.shutdown()
        super.onDestroy()
    }

    private fun show(loaded: Model) {
        model = loaded
        val manifest = loaded.manifest
        prompt.hint = manifest.prompts.examples.firstOrNull() ?: prompt.hint
        style.adapter = choices(listOf(getString(R.string.any_style)) + manifest.prompts.styles)
        steps.adapter = choices(manifest.stepTables.map { (name, table) -> "${table.rows.size} ($name)" })
        steps.setSelection(manifest.stepTables.keys.indexOf(manifest.defaultStepTable))
        status.text = ""
        draw.isEnabled = true
    }

    private fun choices(words: List<String>) = ArrayAdapter(this, android.R.layout.simple_spinner_dropdown_item, words)

    private fun start() {
        val loaded = model ?: return
        val manifest = loaded.manifest
        val words = prompt.text.toString().trim().ifEmpty { prompt.hint.toString() }
        val text = if (style.selectedItemPosition > 0) "$words, ${style.selectedItem} style" else words
        val number = seed.text.toString().toULongOrNull() ?: 0u
        val table = manifest.stepTables.values.elementAt(steps.selectedItemPosition)
        val size = manifest.image.size
        val previews = preview.isChecked
        busy(true)
        inBackground {
            val begin = System.nanoTime()
            val image = loaded.textToImage.draw(Drawing(text, number, table, manifest.guidance.scale)) { step, data ->
                if (stopped) throw Stopped()
                val shown = if (previews && step < table.rows.size) bitmap(loaded.textToImage.decode(data), size) else null
                runOnUiThread { told(step, table.rows.size, shown) }
            }
            val made = Sticker(bitmap(image, size), text, number)
            val seconds = (System.nanoTime() - begin) / 1e9
            runOnUiThread { finish(made, text, "%.2f s, %d steps".format(seconds, table.rows.size)) }
        }
    }

    private fun told(step: Int, of: Int, shown: android.graphics.Bitmap?) {
        progress.max = of
        progress.progress = step
        status.text = "$step / $of"
        shown?.let(picture::setImageBitmap)
    }

    private fun finish(made: Sticker, text: String, words: String) {
        sticker = made
        picture.setImageBitmap(made.bitmap)
        picture.contentDescription = text
        save.isEnabled = true
        share.isEnabled = true
        busy(false)
        status.text = words
    }

    private fun busy(now: Boolean) {
        drawing = now
        stopped = false
        draw.setText(if (now) R.string.stop else R.string.draw)
        progress.progress = 0
    }

    /** Runs it on the worker; what goes wrong is shown. */
    private fun inBackground(work: () -> Unit) = worker.execute {
        try {
            work()
        } catch (error: Exception) {
            runOnUiThread {
                busy(false)
                status.text = error.message ?: error.toString()
            }
        }
    }

    private fun told(action: () -> Unit) =
        try {
            action()
        } catch (error: Exception) {
            status.text = error.message ?: error.toString()
        }
}
