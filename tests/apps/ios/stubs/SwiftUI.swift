// Signatures of SwiftUI as far as the app uses them (iOS 17), to compile against on Linux: names, labels and types, nothing that draws.

@_exported import Foundation
@_exported import UIKit

@MainActor @preconcurrency public protocol View {
    associatedtype Body: View
    @ViewBuilder var body: Body { get }
}

extension Never: View {
    public var body: Never { return fatalError() }
}

extension Optional: View where Wrapped: View {
    public var body: Never { return fatalError() }
}

public protocol Primitive: View where Body == Never {}
extension Primitive { public var body: Never { return fatalError() } }

public struct Nothing: Primitive {}
public struct Group: Primitive { public init<Content: View>(@ViewBuilder content: () -> Content) {} }

@resultBuilder
public enum ViewBuilder {
    public static func buildBlock() -> Nothing { Nothing() }
    public static func buildBlock<each Content: View>(_ content: repeat each Content) -> Group { Group { Nothing() } }
    public static func buildIf<Content: View>(_ content: Content?) -> Content? { content }
    public static func buildEither<Content: View>(first: Content) -> Group { Group { Nothing() } }
    public static func buildEither<Content: View>(second: Content) -> Group { Group { Nothing() } }
}

@MainActor @preconcurrency public protocol Scene {}
@MainActor @preconcurrency public protocol App {
    associatedtype Body: Scene
    var body: Body { get }
    init()
}
extension App { public static func main() {} }
public struct WindowGroup: Scene { public init<Content: View>(@ViewBuilder content: () -> Content) {} }

public protocol ObservableObject: AnyObject {}

@propertyWrapper public struct Published<Value> {
    public var wrappedValue: Value
    public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
}

@propertyWrapper public struct Binding<Value> {
    public var wrappedValue: Value
    public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
}

@propertyWrapper public struct State<Value> {
    public var wrappedValue: Value { get { fatalError() } nonmutating set {} }
    public var projectedValue: Binding<Value> { fatalError() }
    public init(wrappedValue: Value) {}
}

@MainActor @preconcurrency @propertyWrapper public struct StateObject<Value: ObservableObject> {
    public var wrappedValue: Value { fatalError() }
    public init(wrappedValue: @autoclosure @escaping () -> Value) {}
}

@MainActor @preconcurrency @propertyWrapper public struct ObservedObject<Value: ObservableObject> {
    public var wrappedValue: Value
    public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
}

public struct TabView: Primitive { public init<Content: View>(@ViewBuilder content: () -> Content) {} }
public struct Form: Primitive { public init<Content: View>(@ViewBuilder content: () -> Content) {} }
public struct List: Primitive { public init<Content: View>(@ViewBuilder content: () -> Content) {} }
public struct HStack: Primitive { public init<Content: View>(@ViewBuilder content: () -> Content) {} }
public enum HorizontalAlignment { case leading, center, trailing }
public struct VStack: Primitive { public init<Content: View>(alignment: HorizontalAlignment = .center, @ViewBuilder content: () -> Content) {} }
public struct Section: Primitive {
    public init<Content: View>(@ViewBuilder content: () -> Content) {}
    public init<S: StringProtocol, Content: View>(_ title: S, @ViewBuilder content: () -> Content) {}
}
public struct ForEach: Primitive {
    public init<Data: RandomAccessCollection, ID: Hashable, Content: View>(
        _ data: Data, id: KeyPath<Data.Element, ID>, @ViewBuilder content: @escaping (Data.Element) -> Content) {}
}
public struct Label: Primitive { public init<S: StringProtocol>(_ title: S, systemImage: String) {} }
public struct Text: Primitive {
    public init<S: StringProtocol>(_ content: S) {}
    public func font(_ font: Font?) -> Text { self }
    public func monospacedDigit() -> Text { self }
}
public struct Font {
    public static let headline = Font()
    public static let footnote = Font()
}
public struct Image: Primitive {
    public enum Interpolation { case none, low, medium, high }
    public init(uiImage: UIImage) {}
    public func resizable() -> Image { self }
    public func interpolation(_ interpolation: Interpolation) -> Image { self }
}
public struct ProgressView: Primitive { public init<V: BinaryFloatingPoint>(value: V?, total: V = 1) {} }
public struct Button: Primitive { public init<S: StringProtocol>(_ title: S, action: @escaping @MainActor () -> Void) {} }
public struct Toggle: Primitive { public init<S: StringProtocol>(_ title: S, isOn: Binding<Bool>) {} }
public struct TextField: Primitive { public init<S: StringProtocol>(_ title: S, text: Binding<String>) {} }
public struct Picker: Primitive {
    public init<S: StringProtocol, Value: Hashable, Content: View>(_ title: S, selection: Binding<Value>, @ViewBuilder content: () -> Content) {}
}
public struct ShareLink: Primitive { public init<S: StringProtocol>(_ title: S, item: URL) {} }

public enum SubmitLabel { case done, go }
public enum UIKeyboardType { case `default`, numberPad }

extension View {
    public func tabItem<V: View>(@ViewBuilder _ label: () -> V) -> Group { Group { Nothing() } }
    public func task(_ action: @escaping @MainActor () async -> Void) -> Group { Group { Nothing() } }
    public func tag<V: Hashable>(_ tag: V) -> Group { Group { Nothing() } }
    public func frame(maxWidth: CGFloat? = nil, minHeight: CGFloat? = nil) -> Group { Group { Nothing() } }
    public func disabled(_ disabled: Bool) -> Group { Group { Nothing() } }
    public func onAppear(perform action: (() -> Void)? = nil) -> Group { Group { Nothing() } }
    public func accessibilityLabel<S: StringProtocol>(_ label: S) -> Group { Group { Nothing() } }
    public func scaledToFit() -> Group { Group { Nothing() } }
    public func submitLabel(_ label: SubmitLabel) -> Group { Group { Nothing() } }
    public func keyboardType(_ type: UIKeyboardType) -> Group { Group { Nothing() } }
}
