// Signatures of UIKit, Core Graphics and Mach as far as the app uses them (iOS 17), to compile against on Linux.

import Foundation

public typealias CFData = NSData

public final class CGDataProvider {
    public init?(data: CFData) {}
}

public enum CGColorSpaceName { case sRGB }

public final class CGColorSpace {
    public static let sRGB = CGColorSpaceName.sRGB
    public init?(name: CGColorSpaceName) {}
}

public struct CGBitmapInfo {
    public init(rawValue: UInt32) {}
}

public enum CGImageAlphaInfo: UInt32 { case none, premultipliedLast, premultipliedFirst, last }

public enum CGColorRenderingIntent { case defaultIntent }

public final class CGImage {
    public init?(
        width: Int, height: Int, bitsPerComponent: Int, bitsPerPixel: Int, bytesPerRow: Int, space: CGColorSpace, bitmapInfo: CGBitmapInfo,
        provider: CGDataProvider, decode: UnsafePointer<Double>?, shouldInterpolate: Bool, intent: CGColorRenderingIntent
    ) {}
}

public final class UIImage {
    public init(cgImage: CGImage) {}
    public func pngData() -> Data? { nil }
}

@MainActor
public final class UIDevice {
    public static let current = UIDevice()
    public var isBatteryMonitoringEnabled = false
    public var batteryLevel: Float { -1 }
    public var systemName: String { "" }
    public var systemVersion: String { "" }
}

public typealias integer_t = Int32
public typealias mach_msg_type_number_t = UInt32
public typealias task_flavor_t = UInt32
public let TASK_VM_INFO: Int32 = 22
public let KERN_SUCCESS: Int32 = 0
public let mach_task_self_: UInt32 = 0

public struct task_vm_info_data_t {
    public var phys_footprint: UInt64 = 0
    public init() {}
}

public func task_info(
    _ task: UInt32, _ flavor: task_flavor_t, _ info: UnsafeMutablePointer<integer_t>, _ count: UnsafeMutablePointer<mach_msg_type_number_t>
) -> Int32 { KERN_SUCCESS }
