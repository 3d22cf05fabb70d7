# expect: CODE_RESULT_INVALID
# Leaves a text that prints as something else.
class Lie:
    __class__ = str
result = Lie()
