package fewstep.app

import android.app.Activity
import android.content.Intent
import android.os.BatteryManager
import android.os.Bundle
import android.os.Debug
import android.widget.Button
import android.widget.TextView
import fewstep.Build
import fewstep.Device
import fewstep.Job
import fewstep.Report
import fewstep.Reports
import fewstep.measure
import fewstep.toJson
import java.io.File
import java.time.Instant
import kotlin.concurrent.thread

/**
 * The benchmark: a first picture, warm-up, ten pictures, then a minute of them to see throttling.
 *
 * The report is shared as text, and lies in the app's files as report.json (`adb pull`); `fewstep bench --report` reads it.
 */
class BenchActivity : Activity(), Device {
    private val status: TextView by lazy { findViewById(R.id.status) }
    private val figures: TextView by lazy { findViewById(R.id.figures) }
    private val start: Button by lazy { findViewById(R.id.start) }
    private val share: Button by lazy { findViewById(R.id.share) }
    private var text = ""
    @Volatile private var stopped = false

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.bench)
        start.setOnClickListener {
            start.isEnabled = false
            thread(block = ::bench)
        }
        share.setOnClickListener {
            val send = Intent(Intent.ACTION_SEND).setType("application/json").putExtra(Intent.EXTRA_TEXT, text)
            startActivity(Intent.createChooser(send, null))
        }
    }

    override fun onDestroy() {
        stopped = true
        super.onDestroy()
    }

    override fun charge(): Double? {
        val percent = (getSystemService(BATTERY_SERVICE) as? BatteryManager)?.getIntProperty(BatteryManager.BATTERY_PROPERTY_CAPACITY)
        return percent?.takeIf { it in 0..100 }?.let { it / 100.0 }
    }

    override fun memoryBytes(): Long? = Debug.getPss() * 1024

    private fun bench() {
        val said = try {
            Model(assets).use(::measured)
            "Done. Share the report, or take it with adb."
        } catch (error: Exception) {
            error.message ?: error.toString()
        }
        runOnUiThread {
            status.text = said
            start.isEnabled = true
        }
    }

    private fun measured(model: Model) {
        val manifest = model.manifest
        val steps = manifest.stepTables.getValue(manifest.defaultStepTable).rows.size
        val build = Build(manifest.name, model.variant.name, "ONNX Runtime, CPU", model.threads, "", steps, model.loadMs)
        val about = mapOf(
            "app" to "android",
            "model" to "${android.os.Build.MANUFACTURER} ${android.os.Build.MODEL}",
            "system" to "Android ${android.os.Build.VERSION.RELEASE}",
            "cores" to Runtime.getRuntime().availableProcessors(),
        )
        val report = Report("phone", Instant.now().toString(), build, about)
        val prompt = manifest.prompts.examples.firstOrNull().orEmpty()
        measure(Job(prompt), model.textToImage, manifest, this, report) { what ->
            if (stopped) throw Stopped()
            runOnUiThread {
                status.text = what
                figures.text = report.runs.joinToString("\n") { "%.0f ms".format(it.ms) }
            }
        }
        text = toJson(Reports(listOf(report)))
        File(getExternalFilesDir(null), "report.json").writeText(text)
        runOnUiThread { share.isEnabled = true }
    }
}
