#!/usr/bin/env python3
"""The tables of docs/support.md are what the program prints.

    support_table.py LULL PAGE            exits 1 where the page has another text between its marks
    support_table.py LULL PAGE --write    puts the program's there
"""
import pathlib
import subprocess
import sys

BEGIN, END = "<!-- support -->\n", "<!-- /support -->\n"


def main():
    lull, page = sys.argv[1], pathlib.Path(sys.argv[2])
    printed = subprocess.run([lull, "inspect", "--support"], check=True, capture_output=True,
                             text=True).stdout
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    committed, mark, after = rest.partition(END)
    if not mark:
        sys.exit(f"{page} has no marks {BEGIN.strip()} and {END.strip()}")
    wanted = "\n" + printed + "\n"
    if committed == wanted:
        return
    if "--write" not in sys.argv[3:]:
        sys.exit(f"{page} is not what the program supports; run\n"
                 f"  tools/support_table.py {lull} {page} --write")
    page.write_text(before + BEGIN + wanted + END + after)


main()
