"""The project file: texts that need care, and the same text for the same project."""

from dataclasses import replace

from openstep_parser import OpenStepDecoder

from fewstep_apps.ios.xcode import Project, pbxproj

PROJECT = Project(
    "demo", 'A "demo"; of = {braces}, // and Ω', "app.fewstep.demo", ("App/A.swift", "B", "c.json"), "Lib"
)


def test_texts_come_back_as_they_were() -> None:
    read = OpenStepDecoder.ParseFromString(pbxproj(PROJECT))
    settings = [v["buildSettings"] for v in read["objects"].values() if v["isa"] == "XCBuildConfiguration"]
    titles = {s["INFOPLIST_KEY_CFBundleDisplayName"] for s in settings if "PRODUCT_NAME" in s}
    assert titles == {PROJECT.title}
    assert read["objects"][read["rootObject"]]["isa"] == "PBXProject"


def test_the_text_depends_on_the_project_alone() -> None:
    assert pbxproj(PROJECT) == pbxproj(replace(PROJECT))
    assert pbxproj(PROJECT) != pbxproj(replace(PROJECT, files=PROJECT.files[:2]))
