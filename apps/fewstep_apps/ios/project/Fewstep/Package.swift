// swift-tools-version: 5.9
import PackageDescription

let package = Package(
    name: "Fewstep",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [.library(name: "Fewstep", targets: ["Fewstep"])],
    targets: [.target(name: "Fewstep")]
)
