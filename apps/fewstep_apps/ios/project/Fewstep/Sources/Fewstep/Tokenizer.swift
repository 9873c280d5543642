import Foundation

/// A tokenizer.json of the `tokenizers` package, as far as it is BERT's.
public struct TokenizerFile: Decodable {
    struct Padding: Decodable { let padId: Int }
    struct AddedToken: Decodable {
        let id: Int
        let content: String
    }
    struct Normalizer: Decodable {
        let cleanText: Bool
        let handleChineseChars: Bool
        let stripAccents: Bool?
        let lowercase: Bool
    }
    struct Piece: Decodable {
        struct Token: Decodable { let id: String }
        let special: Token?

        enum CodingKeys: String, CodingKey { case special = "SpecialToken" }
    }
    struct Processor: Decodable {
        struct Ids: Decodable { let ids: [Int] }
        let single: [Piece]
        let specialTokens: [String: Ids]
    }
    struct WordPiece: Decodable {
        let vocab: [String: Int]
        let unkToken: String
        let continuingSubwordPrefix: String
        let maxInputCharsPerWord: Int
    }

    let padding: Padding?
    let addedTokens: [AddedToken]
    let normalizer: Normalizer?
    let postProcessor: Processor?
    let model: WordPiece
}

public struct PromptTooLong: LocalizedError {
    let found: Int
    let limit: Int
    public var errorDescription: String? { "This prompt has \(found) tokens; at most \(limit) fit. Shorten it." }
}

private typealias Scalars = [Unicode.Scalar]

/// WordPiece with BERT's normalisation, as the `tokenizers` package computes it from the same tokenizer.json.
/// `fewstep package` refuses a bundle whose tokenizer is another one.
public struct Tokenizer {
    private let file: TokenizerFile
    private let record: TokenizerRecord
    /// By scalars: two strings are equal in Swift if they look the same, which is not what the vocabulary means.
    private let vocabulary: [Scalars: Int]
    private let added: [(content: Scalars, id: Int)]

    public init(_ file: TokenizerFile, _ record: TokenizerRecord) {
        (self.file, self.record) = (file, record)
        vocabulary = Dictionary(uniqueKeysWithValues: file.model.vocab.map { (Scalars($0.unicodeScalars), $1) })
        added = file.addedTokens.map { (Scalars($0.content.unicodeScalars), $0.id) }
    }

    /// `input_ids`, `text_mask` and `text_skip` of one prompt, or of a negative prompt, inside its template. Throws PromptTooLong.
    public func encode(_ text: String, negative: Bool = false) throws -> [String: Tensor] {
        let template = negative ? record.negative : record.prompt
        let prompt = record.lowercase ? text.trimmingCharacters(in: .whitespacesAndNewlines).lowercased() : text
        let found = ids(template.before + prompt + template.after)
        let length = record.maxLength
        if found.count > length { throw PromptTooLong(found: found.count, limit: length) }
        let pad = file.padding?.padId ?? file.model.vocab["[PAD]"] ?? 0
        let free = length - found.count
        return [
            "input_ids": .ints(found.map(Int32.init) + Array(repeating: Int32(pad), count: free)),
            "text_mask": .floats(found.map { _ in 1 } + Array(repeating: 0, count: free)),
            "text_skip": .ints([Int32(template.skip)]),
        ]
    }

    /// Token numbers with the special tokens around them, without padding.
    public func ids(_ text: String) -> [Int] {
        let body = bodyIds(Scalars(text.unicodeScalars))
        guard let processor = file.postProcessor else { return body }
        return processor.single.flatMap { piece in piece.special.map { processor.specialTokens[$0.id]?.ids ?? [] } ?? body }
    }

    /// The text is cut at added tokens, which have their own numbers.
    private func bodyIds(_ text: Scalars) -> [Int] {
        var ids: [Int] = []
        var start = 0
        var at = 0
        while at < text.count {
            if let token = added.first(where: { text[at...].starts(with: $0.content) }) {
                ids += words(text[start..<at]).flatMap(pieces) + [token.id]
                at += token.content.count
                start = at
            } else {
                at += 1
            }
        }
        return ids + words(text[start...]).flatMap(pieces)
    }

    /// BertNormalizer, then BertPreTokenizer.
    private func words(_ text: ArraySlice<Unicode.Scalar>) -> [Scalars] {
        var scalars = Scalars(text)
        if let options = file.normalizer {
            if options.cleanText { scalars = scalars.compactMap(cleaned) }
            if options.handleChineseChars { scalars = scalars.flatMap { isChinese($0) ? [" ", $0, " "] : [$0] } }
            if options.stripAccents ?? options.lowercase { scalars = withoutMarks(scalars) }
            // Scalar by scalar, as Rust does: a whole string would turn a last sigma into another letter.
            if options.lowercase { scalars = scalars.flatMap { Scalars($0.properties.lowercaseMapping.unicodeScalars) } }
        }
        return scalars.split(whereSeparator: \.properties.isWhitespace).flatMap(cutAtPunctuation)
    }

    /// The longest pieces of the vocabulary, from left to right; one unknown token if they do not fill the word.
    private func pieces(_ word: Scalars) -> [Int] {
        let model = file.model
        let unknown = [model.vocab[model.unkToken] ?? 0]
        if word.count > model.maxInputCharsPerWord { return unknown }
        let prefix = Scalars(model.continuingSubwordPrefix.unicodeScalars)
        var ids: [Int] = []
        var start = 0
        while start < word.count {
            let longest = (start + 1...word.count).reversed().lazy.compactMap { end -> (Int, Int)? in
                vocabulary[(start > 0 ? prefix : []) + word[start..<end]].map { (end, $0) }
            }
            guard let (end, id) = longest.first else { return unknown }
            ids.append(id)
            start = end
        }
        return ids
    }
}

/// Without control characters, every white space a blank.
private func cleaned(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
    if scalar == "\t" || scalar == "\n" || scalar == "\r" { return " " }
    switch scalar.properties.generalCategory {
    case .control, .format, .unassigned, .privateUse: return nil
    default: return scalar == "\u{FFFD}" ? nil : scalar.properties.isWhitespace ? " " : scalar
    }
}

private func isChinese(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F, 0x2B920...0x2CEAF, 0xF900...0xFAFF,
        0x2F800...0x2FA1F: true
    default: false
    }
}

private func withoutMarks(_ scalars: Scalars) -> Scalars {
    var text = String.UnicodeScalarView()
    text.append(contentsOf: scalars)
    let decomposed = String(text).decomposedStringWithCanonicalMapping.unicodeScalars
    return decomposed.filter { $0.properties.generalCategory != .nonspacingMark }
}

/// ASCII symbols like $ + < count as punctuation too.
private func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation,
        .otherPunctuation: true
    default: scalar.isASCII && scalar.value > 0x20 && scalar.value < 0x7F && !scalar.properties.isAlphabetic && scalar.properties.numericType == nil
    }
}

private func cutAtPunctuation(_ word: ArraySlice<Unicode.Scalar>) -> [Scalars] {
    var words: [Scalars] = []
    var open = false
    for scalar in word {
        if isPunctuation(scalar) {
            words.append([scalar])
            open = false
        } else if open {
            words[words.count - 1].append(scalar)
        } else {
            words.append([scalar])
            open = true
        }
    }
    return words
}
