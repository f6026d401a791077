#!/usr/bin/env python3
"""The cvc5 of PyPI as a solver that reads SMT-LIB from standard input and answers on standard output.

The wheel has the solver as a library, and no executable. This is as much of one as Cedar's symbolic compiler speaks to:
commands are gathered until one asks something, and `(reset)` starts over with a new solver.
"""

import sys

import cvc5

ASKING = ("(check-sat)", "(get-model)")


class Session:
    """One solver, and what it has been told."""

    def __init__(self):
        self.solver = cvc5.Solver(cvc5.TermManager())
        self.parser = cvc5.InputParser(self.solver)
        self.parser.setIncrementalStringInput(cvc5.InputLanguage.SMT_LIB_2_6, "stdin")

    def tell(self, text):
        """Runs commands, and returns what they print."""
        self.parser.appendIncrementalStringInput(text)
        answers = []
        while not (command := self.parser.nextCommand()).isNull():
            answers.append(command.invoke(self.solver, self.parser.getSymbolManager()))
        return "".join(answers)


def main():
    session, pending = None, []
    for line in sys.stdin:
        command = line.strip()
        if command == "(exit)":
            return
        if command == "(reset)":
            session, pending = None, []
            continue
        pending.append(line)
        if command in ASKING:
            session = session or Session()
            try:
                answer = session.tell("".join(pending))
            except RuntimeError as error:
                reason = str(error).replace('"', "'").replace("\n", " ")
                answer = f'(error "{reason}")\n'
            pending = []
            sys.stdout.write(answer)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
