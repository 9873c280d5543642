package fewstep

// The benchmark and its report, which is that of `apps/web/src/bench.ts`. Times are in milliseconds.

/** One drawing: all of it, and every call into a graph by component. */
class Run(val ms: Double, val calls: Map<String, List<Double>>)

class Build(
    val bundle: String,
    val variant: String,
    val backend: String,
    val threads: Int,
    val probe: String,
    val steps: Int,
    val loadMs: Double,
)

class Report(
    val device: String,
    val date: String,
    val build: Build,
    /** What the device tells about itself: model, system, cores. */
    val browser: Map<String, Any?>,
) {
    val format = "fewstep-web-bench"
    val version = 1
    var state = "running"
    val error: String? = null
    var first: Run? = null
    val runs = mutableListOf<Run>()
    /** Whole drawings one after the other, to see throttling: (seconds since the beginning, milliseconds). */
    val sustained = mutableListOf<List<Double>>()
    var battery: List<Double>? = null
    var memoryBytes: Long? = null
}

/** A file that `fewstep bench --report` reads. */
class Reports(val reports: List<Report>) {
    val format = "fewstep-web-bench-results"
    val version = 1
}

class Job(val prompt: String, val seed: ULong = 0u, val warmup: Int = 1, val runs: Int = 10, val sustainedSeconds: Double = 60.0)

/** What only the device can tell; null where it does not. */
interface Device {
    /** From 0 to 1. */
    fun charge(): Double?

    fun memoryBytes(): Long?
}

/** Fills the report; `onChange` is told of every new figure and may throw to stop. */
fun measure(job: Job, model: TextToImage, manifest: Manifest, device: Device, report: Report, onChange: (String) -> Unit) {
    val table = manifest.stepTables.getValue(manifest.defaultStepTable)
    val charge = device.charge()
    fun draw(seed: ULong): Run {
        val start = System.nanoTime()
        model.draw(Drawing(job.prompt, seed, table, manifest.guidance.scale))
        return Run((System.nanoTime() - start) / 1e6, model.timings)
    }
    report.first = draw(job.seed)
    onChange("first picture")
    repeat(job.warmup) { draw(job.seed) }
    repeat(job.runs) {
        report.runs += draw(job.seed + it.toUInt())
        onChange("run ${it + 1} of ${job.runs}")
    }
    val start = System.nanoTime()
    fun seconds() = (System.nanoTime() - start) / 1e9
    while (seconds() < job.sustainedSeconds) {
        val ms = draw(job.seed).ms
        report.sustained += listOf(seconds(), ms)
        onChange("sustained: ${seconds().toInt()} of ${job.sustainedSeconds.toInt()} s")
    }
    val after = device.charge()
    report.battery = if (charge == null || after == null) null else listOf(charge, after)
    report.memoryBytes = device.memoryBytes()
    report.state = "done"
}
