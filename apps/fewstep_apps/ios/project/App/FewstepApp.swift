import SwiftUI

@main
struct FewstepApp: App {
    @StateObject private var studio = Studio()

    var body: some Scene {
        WindowGroup {
            TabView {
                DrawView(studio: studio).tabItem { Label("Draw", systemImage: "paintbrush") }
                BenchView(studio: studio).tabItem { Label("Benchmark", systemImage: "speedometer") }
                LicencesView().tabItem { Label("Licences", systemImage: "doc.text") }
            }
            .task { await studio.load() }
        }
    }
}
