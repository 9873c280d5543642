"""iOS: a SwiftUI app around a Swift package, as an Xcode project that no Xcode made."""
