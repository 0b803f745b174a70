#!/usr/bin/env python3
"""Checks the direction of includes between modules, and the closed doors.

Reads the lull_module(NAME LAYER n DEPS ...) lines of cmake/modules.cmake. A file of src/NAME may
include its own module, the modules in NAME's DEPS (direct ones only) and include/lull; every DEP
must lie in a smaller layer and be used: a header of it, or a public one that it implements. Closed doors keep some facilities to the modules that own
them. Prints one line per violation and exits 1 where there is any.

    check_layers.py [ROOT]         checks the tree
    check_layers.py --self-test    checks that each kind of violation is found
"""
import pathlib
import re
import sys
import tempfile

MODULE_LINE = re.compile(r"^\s*lull_module\(([^)]*)\)", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
TYPE = re.compile(r"^(?:struct|class) (\w+)(?: final)?\s*(?::[^:{;][^{;]*)?\{", re.MULTILINE)
SUFFIXES = {".h", ".cc", ".inc"}
KEYWORDS = {"LAYER", "DEPS", "LIBS", "TEST_LIBS"}

# (what, pattern, where it is looked for, files or folders that may contain it)
DOORS = [
    ("intrinsics belong in src/simd",
     re.compile(r"\b_mm\d*_\w+\(|\b__m(?:128|256|512)[id]?\b|<\w*intrin\.h>|<arm_neon\.h>"),
     ["src", "include"], ["src/simd/"]),
    ("system calls belong in src/base/os",
     re.compile(r"#\s*include\s*<(?:(?:sys|netinet|arpa|linux|asm|net)/[^>]+|unistd\.h|fcntl\.h|"
                r"pthread\.h|sched\.h|dlfcn\.h|poll\.h|signal\.h|csignal|termios\.h|spawn\.h|"
                r"dirent\.h|netdb\.h)>"),
     ["src", "include"], ["src/base/os/"]),
    ("sockets belong in src/service/http (and the client of the bench)",
     re.compile(r"#\s*include\s*<boost/[^>]+>"),
     ["src", "include"], ["src/service/http/", "src/bench/http_client."]),
    ("JSON types stay out of the public headers",
     re.compile(r"nlohmann"), ["include"], []),
    ("the environment is read in src/cli only",
     re.compile(r"\b(?:secure_)?getenv\s*\("), ["src", "include"], ["src/cli/"]),
    ("libraries do not print, abort or exit",
     re.compile(r"std::c(?:out|err)\b|(?<![\w])(?:std::)?f?printf\s*\(|"
                r"(?<![\w.>])(?:std::)?(?:abort|_?exit)\s*\("),
     # A forked child leaves by _exit.
     ["src", "include"], ["src/cli/", "src/base/os/process.cc", "src/base/os/helper_process.cc"]),
]


class Module:
    def __init__(self, name, layer, deps):
        self.name, self.layer, self.deps = name, layer, deps


def parse_modules(text, problems):
    modules = {}
    for match in MODULE_LINE.finditer(re.sub(r"#[^\n]*", "", text)):
        words = match.group(1).split()
        fields, key = {}, "NAME"
        for word in words:
            if word in KEYWORDS:
                key = word
                fields[key] = []
            else:
                fields.setdefault(key, []).append(word)
        name = fields["NAME"][0]
        if "LAYER" not in fields:
            problems.append(f"cmake/modules.cmake: module {name} has no LAYER")
            continue
        if name in modules:
            problems.append(f"cmake/modules.cmake: module {name} is declared twice")
        modules[name] = Module(name, int(fields["LAYER"][0]), fields.get("DEPS", []))
    return modules


def check_declarations(modules, problems):
    for module in modules.values():
        for dep in module.deps:
            if dep not in modules:
                problems.append(f"cmake/modules.cmake: {module.name} depends on {dep}, "
                                "which is not a module")
            elif modules[dep].layer >= module.layer:
                problems.append(f"cmake/modules.cmake: {module.name} (layer {module.layer}) may not "
                                f"depend on {dep} (layer {modules[dep].layer})")
    for name in modules:
        path = find_cycle(modules, name, [name])
        if path and name == min(path):  # each cycle once
            problems.append("cmake/modules.cmake: cycle " + " -> ".join(path))


def find_cycle(modules, name, path):
    """A path from path[0] back to itself, or None."""
    for dep in modules[name].deps:
        if dep == path[0]:
            return path + [dep]
        if dep in modules and dep not in path:
            found = find_cycle(modules, dep, path + [dep])
            if found:
                return found
    return None


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES and p.is_file())


def implementers(root, modules):
    """lull/x.h -> the modules with an x.cc that includes it: using one is using the module."""
    found = {}
    for header in sources(root / "include"):
        name = str(header.relative_to(root / "include"))
        for module in modules:
            for path in (root / "src" / module).rglob(header.stem + ".cc"):
                if f'"{name}"' in path.read_text(encoding="utf-8"):
                    found.setdefault(name, set()).add(module)
    return found


def check_includes(root, modules, problems):
    src = root / "src"
    behind = implementers(root, modules)
    for folder in sorted(p for p in src.iterdir() if p.is_dir()):
        if folder.name not in modules:
            problems.append(f"src/{folder.name}: no lull_module line")
    for module in modules.values():
        folder = src / module.name
        if not folder.is_dir():
            problems.append(f"cmake/modules.cmake: module {module.name} has no folder")
            continue
        allowed, used = {module.name, "lull", *module.deps}, set()
        for path in sources(folder):
            text = path.read_text(encoding="utf-8")
            for match in INCLUDE.finditer(text):
                target, first = match.group(2), match.group(2).split("/")[0]
                if match.group(1) == "<" and first not in modules and first != "lull":
                    continue  # a system or library header
                line = text.count("\n", 0, match.start(2)) + 1
                where = f"{path.relative_to(root)}:{line}"
                used.add(first)
                used |= behind.get(target, set())
                if first not in modules and first != "lull":
                    problems.append(f'{where}: "{target}" is not a path from src or include')
                elif first not in allowed:
                    problems.append(f"{where}: module {module.name} may not include {target} "
                                    f"(DEPS: {' '.join(module.deps) or 'none'})")
        for dep in module.deps:
            if dep in modules and dep not in used:
                problems.append(f"cmake/modules.cmake: {module.name} never includes its DEP {dep}")


def check_public_headers(root, modules, problems):
    for path in sources(root / "include"):
        for match in INCLUDE.finditer(path.read_text(encoding="utf-8")):
            if match.group(2).split("/")[0] in modules or (
                    match.group(1) == '"' and not match.group(2).startswith("lull/")):
                problems.append(f"{path.relative_to(root)}: a public header may not include "
                                f"{match.group(2)}")


def check_doors(root, problems):
    for folder in ("src", "include"):
        for path in sources(root / folder):
            name = str(path.relative_to(root))
            # Comments become blanks of the same line count.
            text = COMMENT.sub(lambda m: "\n" * m.group(0).count("\n"),
                               path.read_text(encoding="utf-8"))
            for rule, pattern, folders, exceptions in DOORS:
                if folder not in folders or any(name.startswith(e) for e in exceptions):
                    continue
                for match in pattern.finditer(text):
                    line = text.count("\n", 0, match.start()) + 1
                    problems.append(f"{name}:{line}: {match.group(0).strip()}: {rule}")


def without_unnamed_namespaces(text):
    return re.sub(r"^namespace \{$.*?^\}  // namespace$", "", text, flags=re.DOTALL | re.MULTILINE)


# Two types of one name in namespace lull link as if they were one: the wrong destructor runs. src/simd
# has a namespace for each instruction set.
def check_type_names(root, problems):
    found = {}
    for folder in ("src", "include"):
        for path in sources(root / folder):
            name = str(path.relative_to(root))
            if name.startswith("src/simd/"):
                continue
            text = without_unnamed_namespaces(path.read_text(encoding="utf-8"))
            for match in TYPE.finditer(text):
                found.setdefault(match.group(1), set()).add(name)
    for type_name, paths in sorted(found.items()):
        if len(paths) > 1:
            problems.append(f"type {type_name} is defined in {' and '.join(sorted(paths))}")


def check(root):
    problems = []
    modules = parse_modules((root / "cmake/modules.cmake").read_text(encoding="utf-8"), problems)
    check_declarations(modules, problems)
    check_includes(root, modules, problems)
    check_public_headers(root, modules, problems)
    check_doors(root, problems)
    check_type_names(root, problems)
    return problems


GOOD_TREE = {
    "cmake/modules.cmake": "lull_module(base LAYER 0)\nlull_module(simd LAYER 1 DEPS base)\n"
                           "lull_module(top LAYER 2 DEPS base simd LIBS x::y)  # a comment\n"
                           "lull_module(user LAYER 2 DEPS base)\n",
    "include/lull/a.h": '#include <string>\n#include "lull/b.h"\n',
    "include/lull/b.h": "int printf_count(); // std::cout in a comment is fine\n",
    "src/base/b.h": '#include "lull/a.h"\n',
    "src/base/os/o.cc": "#include <unistd.h>\n",
    "src/simd/s.h": '#include <immintrin.h>\n#include "base/b.h"\n',
    "src/top/t.cc": '#include "top/t.h"\n#include "simd/s.h"\n#include "base/b.h"\n'
                    "int a = snprintf(b, 1, c); loop.exit(); on_exit(1);\n",
    "src/top/t.h": "struct Job : Base {\n};\nstruct Only;\n",
    # Of the same name, but seen in its own file alone.
    "src/top/u.cc": "namespace {\nstruct Job {\n};\n}  // namespace\n",
    # Uses base only through the public header that base implements.
    "src/base/a.cc": '#include "lull/a.h"\n',
    "src/user/u.cc": '#include "lull/a.h"\n',
}

# What is put into which file of the good tree, and what must be said about it.
BAD = [
    ("src/base/b.h", '#include "top/t.h"\n', "module base may not include top/t.h"),
    ("src/base/b.h", "#include <top/t.h>\n", "module base may not include top/t.h"),
    ("src/simd/s.h", '#include "top/t.h"\n', "module simd may not include top/t.h"),
    ("src/top/t.h", '#include "t_local.h"\n', "is not a path from src or include"),
    ("src/top/t.cc", None, "top never includes its DEP simd"),
    ("src/top/t.h", '#include "user/u.h"\n', "module top may not include user/u.h"),
    ("src/stray/x.cc", "", "src/stray: no lull_module line"),
    ("cmake/modules.cmake", "lull_module(lone LAYER 3)\n", "module lone has no folder"),
    ("cmake/modules.cmake", "lull_module(lone)\n", "module lone has no LAYER"),
    ("cmake/modules.cmake", "lull_module(top LAYER 2)\n", "module top is declared twice"),
    ("cmake/modules.cmake", "lull_module(x LAYER 3 DEPS nothing)\n", "which is not a module"),
    ("cmake/modules.cmake", "lull_module(x LAYER 1 DEPS top)\n", "x (layer 1) may not depend on top"),
    ("cmake/modules.cmake", "lull_module(x LAYER 1 DEPS y)\nlull_module(y LAYER 1 DEPS x)\n",
     "cycle x -> y -> x"),
    ("include/lull/a.h", '#include "base/b.h"\n', "a public header may not include base/b.h"),
    ("include/lull/a.h", "#include <nlohmann/json.hpp>\n", "JSON types stay out"),
    ("src/top/t.cc", "__m256 v;\n", "intrinsics belong in src/simd"),
    ("src/top/t.cc", "auto v = _mm_pause();\n", "intrinsics belong in src/simd"),
    ("src/top/t.cc", "#include <sys/mman.h>\n", "system calls belong in src/base/os"),
    ("src/top/t.cc", "#include <unistd.h>\n", "system calls belong in src/base/os"),
    ("src/top/t.cc", "#include <boost/asio.hpp>\n", "sockets belong in"),
    ("src/top/t.cc", 'auto e = getenv("A");\n', "the environment is read in"),
    ("src/top/t.cc", "std::cout << 1;\n", "libraries do not print"),
    ("src/top/t.cc", 'std::fprintf(f, "x");\n', "libraries do not print"),
    ("src/user/u.cc", "struct Job {\n};\n", "type Job is defined in"),
    ("src/top/t.cc", "std::abort();\n", "libraries do not print, abort or exit"),
]


def check_variant(path, addition):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in GOOD_TREE.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        if path:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            before = GOOD_TREE.get(path, "")
            text = '#include "base/b.h"\n' if addition is None else before + addition
            (root / path).write_text(text, encoding="utf-8")
        return check(root)


def self_test():
    failures = [f"the good tree: {p}" for p in check_variant(None, "")]
    for path, addition, want in BAD:
        found = check_variant(path, addition)
        if not any(want in p for p in found):
            failures.append(f"{path} + {addition!r}: wanted {want!r}, found {found}")
    return failures


def main(arguments):
    if arguments == ["--self-test"]:
        problems = self_test()
    else:
        default = pathlib.Path(__file__).resolve().parents[2]
        problems = check(pathlib.Path(arguments[0]) if arguments else default)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
