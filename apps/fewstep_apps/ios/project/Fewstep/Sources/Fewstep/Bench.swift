import Foundation

// The benchmark and its report, which is that of `apps/web/src/bench.ts`. Times are in milliseconds.

/// One drawing: all of it, and every call into a graph by component.
public struct Run: Encodable {
    public let ms: Double
    public let calls: [String: [Double]]
}

public struct Build: Encodable {
    let bundle: String
    let variant: String
    let backend: String
    let threads: Int
    let probe: String
    let steps: Int
    let loadMs: Double

    public init(bundle: String, variant: String, backend: String, threads: Int, steps: Int, loadMs: Double) {
        (self.bundle, self.variant, self.backend, self.threads) = (bundle, variant, backend, threads)
        (self.probe, self.steps, self.loadMs) = ("", steps, loadMs)
    }
}

public struct Report: Encodable {
    public let device: String
    public let date: String
    public let build: Build
    /// What the device tells about itself: model, system, cores.
    public let browser: [String: String]
    public var state = "running"
    public var first: Run?
    public var runs: [Run] = []
    /// Whole drawings one after the other, to see throttling: (seconds since the beginning, milliseconds).
    public var sustained: [[Double]] = []
    public var battery: [Double]?
    public var memoryBytes: Int?

    public init(device: String, date: String, build: Build, about: [String: String]) {
        (self.device, self.date, self.build, browser) = (device, date, build, about)
    }

    private enum Key: String, CodingKey {
        case format, version, device, state, error, date, browser, build, first, runs, sustained, battery, memoryBytes
    }

    /// Written out, since what is absent must be null.
    public func encode(to encoder: Encoder) throws {
        var object = encoder.container(keyedBy: Key.self)
        try object.encode("fewstep-web-bench", forKey: .format)
        try object.encode(1, forKey: .version)
        try object.encode(device, forKey: .device)
        try object.encode(state, forKey: .state)
        try object.encodeNil(forKey: .error)
        try object.encode(date, forKey: .date)
        try object.encode(browser, forKey: .browser)
        try object.encode(build, forKey: .build)
        try object.encode(first, forKey: .first)
        try object.encode(runs, forKey: .runs)
        try object.encode(sustained, forKey: .sustained)
        try object.encode(battery, forKey: .battery)
        try object.encode(memoryBytes, forKey: .memoryBytes)
    }
}

/// A file that `fewstep bench --report` reads.
public struct Reports: Encodable {
    let format = "fewstep-web-bench-results"
    let version = 1
    let reports: [Report]

    public init(_ reports: [Report]) { self.reports = reports }

    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return try encoder.encode(self)
    }
}

public struct Job {
    let prompt: String
    let seed: UInt64
    let warmup: Int
    let runs: Int
    let sustainedSeconds: Double

    public init(prompt: String, seed: UInt64 = 0, warmup: Int = 1, runs: Int = 10, sustainedSeconds: Double = 60) {
        (self.prompt, self.seed, self.warmup, self.runs, self.sustainedSeconds) = (prompt, seed, warmup, runs, sustainedSeconds)
    }
}

/// What only the device can tell; nil where it does not.
public protocol Device {
    /// From 0 to 1.
    func charge() -> Double?
    func memoryBytes() -> Int?
}

/// Fills the report; `onChange` is told of every new figure and may throw to stop.
public func measure(
    _ job: Job, _ model: TextToImage, _ manifest: Manifest, on device: Device, into report: inout Report,
    onChange: (String, Report) throws -> Void
) throws {
    let table = manifest.stepTables[manifest.defaultStepTable]!
    let charge = device.charge()
    func draw(_ seed: UInt64) throws -> Run {
        let start = ContinuousClock.now
        _ = try model.draw(Drawing(job.prompt, seed: seed, table: table, guidance: manifest.guidance.scale))
        return Run(ms: milliseconds(since: start), calls: model.timings)
    }
    report.first = try draw(job.seed)
    try onChange("first picture", report)
    for _ in 0..<job.warmup { _ = try draw(job.seed) }
    for i in 0..<job.runs {
        report.runs.append(try draw(job.seed &+ UInt64(i)))
        try onChange("run \(i + 1) of \(job.runs)", report)
    }
    let start = ContinuousClock.now
    var seconds: Double { milliseconds(since: start) / 1000 }
    while seconds < job.sustainedSeconds {
        let ms = try draw(job.seed).ms
        report.sustained.append([seconds, ms])
        try onChange("sustained: \(Int(seconds)) of \(Int(job.sustainedSeconds)) s", report)
    }
    if let charge, let after = device.charge() { report.battery = [charge, after] }
    report.memoryBytes = device.memoryBytes()
    report.state = "done"
}
