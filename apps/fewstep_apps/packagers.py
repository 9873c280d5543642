"""Which function packages which app, and what a person is told afterwards."""

from collections.abc import Callable

from fewstep_apps.android.package import package_android
from fewstep_apps.config import App, PackageConfig
from fewstep_apps.ios.package import package_ios
from fewstep_apps.jetson.package import package_jetson
from fewstep_apps.web.package import package_web

Packager = Callable[[PackageConfig], str]
"""Writes a package; returns what is in it and what to do next, in words."""


def packager(app: App) -> Packager:
    """The packager of an app."""
    return {"web": _web, "android": _android, "ios": _ios, "jetson": _jetson}[app]


def _web(config: PackageConfig) -> str:
    made = package_web(config)
    return (
        f"{made.output}: {', '.join(made.variants)}; a first visit loads {made.first_load / 1e6:.1f} MB\n"
        f"to try it: python -m http.server --directory {made.output} 8000, then http://localhost:8000"
    )


def _android(config: PackageConfig) -> str:
    made = package_android(config)
    native = f"{made.output / 'native'}: the native app with {made.variant}, for Android Studio, or `gradle :app:assembleDebug`"
    if made.apk is None:
        return f"{native}\nno APK of the web app, for want of tools; to have one: {made.missing}"
    size = made.apk.stat().st_size / 1e6
    return f"{made.apk}: the web app, {size:.1f} MB, signed for tests; to install it: adb install {made.apk}\n{native}"


def _ios(config: PackageConfig) -> str:
    made = package_ios(config)
    return f"{made.project}: the app with {made.variant}; to try it: open it in Xcode 15 or newer, choose your team, run"


def _jetson(config: PackageConfig) -> str:
    made = package_jetson(config)
    return f"{made.output}: the kit with {made.variant}; to install it: copy the folder to the board, then run install.sh there"
