import Fewstep
import SwiftUI

/// Of the model and of the software, in licences.json that `fewstep package` wrote.
struct LicencesView: View {
    private let sections: [String: [Licence]]

    init() {
        let file = Bundle.main.url(forResource: "licences", withExtension: "json")
        sections = file.flatMap { try? read([String: [Licence]].self, from: $0) } ?? [:]
    }

    var body: some View {
        List {
            ForEach(sections.keys.sorted(), id: \.self) { name in
                Section(name) {
                    ForEach(sections[name]!, id: \.self) { licence in
                        VStack(alignment: .leading) {
                            Text(licence.what).font(.headline)
                            Text("\(licence.licence), \(licence.credit)").font(.footnote)
                        }
                    }
                }
            }
        }
    }
}
