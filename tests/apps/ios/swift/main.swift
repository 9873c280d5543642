// `golden DATA` checks against the golden files of tests/data; `pipe BUNDLE PROMPT SEED REPORT` draws with graphs at the other end of
// standard input and output, as tests/apps/android/core/Piped.kt does.

import Foundation

let words = Array(CommandLine.arguments.dropFirst())
switch words.first {
case "golden": try golden(URL(fileURLWithPath: words[1]))
case "pipe": try pipe(URL(fileURLWithPath: words[1]), prompt: words[2], seed: UInt64(words[3])!, report: words[4])
default: fatalError("golden or pipe")
}
