"""A small language for kernels: Python expressions that write LLVM IR.

`Code` is a function under construction. Its numbers are `Val`s: scalars or vectors of i8..i64, f16
and f32, combined with the usual operators. Addresses are i64 numbers of bytes. Floating point is
IEEE, never reordered, never contracted: a fused multiply-add is written as `fma`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F16, F32 = ir.HalfType(), ir.FloatType()
POINTER = ir.PointerType()

#: `Code.int` would hide the type from its neighbours.
Int = int
Number = int | float

#: Lanes of every float vector: the numerics profile `cpu-1` is written for this many.
LANES = 16
F32V = ir.VectorType(F32, LANES)
I32V = ir.VectorType(I32, LANES)


def vector(element: ir.Type, lanes: int) -> ir.VectorType:
    """The type of `lanes` elements."""
    return ir.VectorType(element, lanes)


def _is_float(kind: ir.Type) -> bool:
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    return isinstance(element, (ir.HalfType, ir.FloatType))


class Val:
    """A number or vector of numbers that the function computes."""

    __slots__ = ("code", "ir")

    def __init__(self, code: Code, value: Any) -> None:
        self.code, self.ir = code, value

    @property
    def type(self) -> Any:
        return self.ir.type

    def _with(self, other: Val | int | float, of_ints: str, of_floats: str, *, swap: bool = False) -> Val:
        one, two = self.ir, self.code.like(self, other).ir
        if swap:
            one, two = two, one
        name = of_floats if _is_float(self.type) else of_ints
        return Val(self.code, getattr(self.code.builder, name)(one, two))

    def __add__(self, other: Val | int | float) -> Val:
        return self._with(other, "add", "fadd")

    __radd__ = __add__

    def __sub__(self, other: Val | int | float) -> Val:
        return self._with(other, "sub", "fsub")

    def __rsub__(self, other: Val | int | float) -> Val:
        return self._with(other, "sub", "fsub", swap=True)

    def __mul__(self, other: Val | int | float) -> Val:
        return self._with(other, "mul", "fmul")

    __rmul__ = __mul__

    def __truediv__(self, other: Val | int | float) -> Val:
        return self._with(other, "none", "fdiv")

    def __rtruediv__(self, other: Val | int | float) -> Val:
        return self._with(other, "none", "fdiv", swap=True)

    def __floordiv__(self, other: Val | int) -> Val:
        """Of numbers that are not negative."""
        return self._with(other, "udiv", "none")

    def __mod__(self, other: Val | int) -> Val:
        """Of numbers that are not negative."""
        return self._with(other, "urem", "none")

    def __and__(self, other: Val | int) -> Val:
        return self._with(other, "and_", "none")

    def __or__(self, other: Val | int) -> Val:
        return self._with(other, "or_", "none")

    def __xor__(self, other: Val | int) -> Val:
        return self._with(other, "xor", "none")

    def __lshift__(self, other: Val | int) -> Val:
        return self._with(other, "shl", "none")

    def __rshift__(self, other: Val | int) -> Val:
        """Logical: zeros come in from the left."""
        return self._with(other, "lshr", "none")

    def sar(self, other: Val | int) -> Val:
        """Arithmetic shift right: copies of the sign come in."""
        return self._with(other, "ashr", "none")

    def _compare(self, sign: str, other: Val | int | float) -> Val:
        two, builder = self.code.like(self, other).ir, self.code.builder
        compare = builder.fcmp_ordered if _is_float(self.type) else builder.icmp_signed
        return Val(self.code, compare(sign, self.ir, two))

    def __lt__(self, other: Val | int | float) -> Val:
        return self._compare("<", other)

    def __le__(self, other: Val | int | float) -> Val:
        return self._compare("<=", other)

    def __gt__(self, other: Val | int | float) -> Val:
        return self._compare(">", other)

    def __ge__(self, other: Val | int | float) -> Val:
        return self._compare(">=", other)

    def eq(self, other: Val | int | float) -> Val:
        """Equality, lane by lane (`==` stays Python's)."""
        return self._compare("==", other)

    # Conversions.

    def bits(self, kind: ir.Type) -> Val:
        """The same bits read as another type of the same size."""
        return Val(self.code, self.code.builder.bitcast(self.ir, kind))

    def signed(self, kind: ir.Type) -> Val:
        """Widened as signed integers."""
        return Val(self.code, self.code.builder.sext(self.ir, kind))

    def unsigned(self, kind: ir.Type) -> Val:
        """Widened as unsigned integers."""
        return Val(self.code, self.code.builder.zext(self.ir, kind))

    def narrow(self, kind: ir.Type) -> Val:
        """The low bits."""
        return Val(self.code, self.code.builder.trunc(self.ir, kind))

    def to_float(self, kind: ir.Type) -> Val:
        """Signed integers as floats, rounded to nearest."""
        return Val(self.code, self.code.builder.sitofp(self.ir, kind))

    def to_int(self, kind: ir.Type) -> Val:
        """Floats in range as signed integers, towards zero."""
        return Val(self.code, self.code.builder.fptosi(self.ir, kind))

    def lane(self, index: int) -> Val:
        """One element."""
        return Val(self.code, self.code.builder.extract_element(self.ir, ir.Constant(I32, index)))


class Var:
    """A number that changes: a place on the stack, which the optimiser makes a register."""

    __slots__ = ("_place", "_type", "code")

    def __init__(self, code: Code, value: Val) -> None:
        self.code, self._type = code, value.type
        with code.builder.goto_entry_block():
            self._place = code.builder.alloca(value.type)
        self.set(value)

    def get(self) -> Val:
        return Val(self.code, self.code.builder.load(self._place, typ=self._type))

    def set(self, value: Val) -> None:
        self.code.builder.store(value.ir, self._place)


class Code:
    """One function `void name(i64...)`, open for writing until `end`."""

    def __init__(self, module: ir.Module, name: str, arguments: Int) -> None:
        self.module = module
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * arguments), name)
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.arguments = [Val(self, argument) for argument in function.args]
        self.function = function

    def end(self) -> None:
        self.builder.ret_void()

    # Constants.

    def const(self, kind: ir.Type, value: Number) -> Val:
        """A constant; the same in every lane of a vector type."""
        if isinstance(kind, ir.VectorType):
            return Val(self, ir.Constant(kind, [ir.Constant(kind.element, value)] * kind.count))
        return Val(self, ir.Constant(kind, value))

    def lanes(self, kind: ir.VectorType, values: Sequence[Number]) -> Val:
        """A vector constant, lane by lane."""
        return Val(self, ir.Constant(kind, [ir.Constant(kind.element, value) for value in values]))

    def int(self, value: Int) -> Val:
        return self.const(I64, value)

    def f32(self, value: float) -> Val:
        return self.const(F32, value)

    def like(self, model: Val, value: Val | Number) -> Val:
        """`value` as a number of the model's type; scalars are spread over a vector's lanes."""
        if not isinstance(value, Val):
            return self.const(model.type, value)
        if isinstance(model.type, ir.VectorType) and not isinstance(value.type, ir.VectorType):
            return self.splat(value, model.type.count)
        return value

    def splat(self, value: Val, lanes: Int = LANES) -> Val:
        """The scalar in every lane."""
        kind = ir.VectorType(value.type, lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(undefined, value.ir, ir.Constant(I32, 0))
        mask = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
        return Val(self, self.builder.shuffle_vector(one, undefined, mask))

    def shuffle(self, one: Val, two: Val, order: Sequence[Int]) -> Val:
        """Lanes of both by number, those of the second after those of the first."""
        mask = ir.Constant(ir.VectorType(I32, len(order)), list(order))
        return Val(self, self.builder.shuffle_vector(one.ir, two.ir, mask))

    # Memory.

    def load(self, kind: ir.Type, address: Val, offset: Val | Int = 0) -> Val:
        """Read; any alignment."""
        loaded = self.builder.load(self._pointer(address, offset), typ=kind)
        loaded.align = 1
        return Val(self, loaded)

    def store(self, value: Val, address: Val, offset: Val | Int = 0) -> None:
        """Write; any alignment."""
        self.builder.store(value.ir, self._pointer(address, offset)).align = 1

    def _pointer(self, address: Val, offset: Val | Int) -> Any:
        base = self.builder.inttoptr(address.ir, POINTER)
        if isinstance(offset, int) and offset == 0:
            return base
        return self.builder.gep(base, [self.like(address, offset).ir], source_etype=I8)

    def prefetch(self, address: Val, offset: Val | Int = 0) -> None:
        """Ask for the 64 bytes at an address, which need not exist."""
        hint = [ir.Constant(I32, value) for value in (0, 3, 1)]  # to read, keep close, data
        function = self.module.globals.get("llvm.prefetch.p0")
        if function is None:
            kind = ir.FunctionType(ir.VoidType(), [POINTER, I32, I32, I32])
            function = ir.Function(self.module, kind, "llvm.prefetch.p0")
        self.builder.call(function, [self._pointer(address, offset), *hint])

    def loads(self, kind: ir.Type, address: Val, count: Int) -> list[Val]:
        """The first fields of a table of i64."""
        size = 8
        return [self.load(kind, address, size * index) for index in range(count)]

    def stack(self, kind: ir.Type, count: Int) -> Val:
        """The address of room for `count` elements, as long as the function runs."""
        with self.builder.goto_entry_block():
            place = self.builder.alloca(ir.ArrayType(kind, count))
            place.align = 64
            return Val(self, self.builder.ptrtoint(place, I64))

    # Control.

    @contextmanager
    def range(self, start: Val | Int, stop: Val | Int, step: Int = 1) -> Iterator[Val]:
        """for i in range(start, stop, step)."""
        start = start if isinstance(start, Val) else self.int(start)
        stop = stop if isinstance(stop, Val) else self.int(stop)
        index = Var(self, start)
        head = self.builder.append_basic_block("head")
        body = self.builder.append_basic_block("body")
        after = self.builder.append_basic_block("after")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        current = index.get()
        self.builder.cbranch((current < stop).ir, body, after)
        self.builder.position_at_end(body)
        yield current
        index.set(current + step)
        self.builder.branch(head)
        self.builder.position_at_end(after)

    @contextmanager
    def loop_while(self, condition: Callable[[], Val]) -> Iterator[None]:
        """while condition()."""
        head = self.builder.append_basic_block("head")
        body = self.builder.append_basic_block("body")
        after = self.builder.append_basic_block("after")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(condition().ir, body, after)
        self.builder.position_at_end(body)
        yield
        self.builder.branch(head)
        self.builder.position_at_end(after)

    @contextmanager
    def when(self, condition: Val) -> Iterator[None]:
        """if condition."""
        with self.builder.if_then(condition.ir):
            yield

    def select(self, condition: Val, yes: Val | Number, no: Val | Number) -> Val:
        """yes if condition else no, lane by lane; at least one of them is a `Val`."""
        model = yes if isinstance(yes, Val) else no
        assert isinstance(model, Val)
        one, two = self.like(model, yes), self.like(model, no)
        return Val(self, self.builder.select(condition.ir, one.ir, two.ir))

    # Functions.

    def intrinsic(self, name: str, result: ir.Type, *arguments: Val) -> Val:
        """Call an LLVM intrinsic."""
        found = self.module.globals.get(name)
        if found is None:
            kind = ir.FunctionType(result, [argument.type for argument in arguments])
            found = ir.Function(self.module, kind, name)
        return Val(self, self.builder.call(found, [argument.ir for argument in arguments]))

    def call(self, address: Val, *arguments: Val) -> None:
        """Call the function `void(i64...)` at an address."""
        kind = ir.FunctionType(ir.VoidType(), [I64] * len(arguments))
        pointer = self.builder.inttoptr(address.ir, POINTER)
        instruction = ir.instructions.CallInstr(
            self.builder.block, _Callee(pointer, kind), [argument.ir for argument in arguments]
        )
        self.builder._insert(instruction)

    def fma(self, one: Val, two: Val | Number, three: Val | Number) -> Val:
        """one * two + three, rounded once."""
        name = f"llvm.fma.{_suffix(one.type)}"
        return self.intrinsic(name, one.type, one, self.like(one, two), self.like(one, three))

    def sqrt(self, value: Val) -> Val:
        return self.intrinsic(f"llvm.sqrt.{_suffix(value.type)}", value.type, value)

    def round(self, value: Val) -> Val:
        """To the nearest whole number, ties to even."""
        magic = 12582912.0  # 1.5 * 2**23: adding it leaves no room for a fraction; |value| < 2**22
        return (value + magic) - magic

    def abs(self, value: Val) -> Val:
        ints = ir.VectorType(I32, value.type.count) if isinstance(value.type, ir.VectorType) else I32
        return (value.bits(ints) & 0x7FFFFFFF).bits(value.type)

    def max(self, one: Val, two: Val | Number) -> Val:
        """The larger one; the second where the first is no number."""
        two = self.like(one, two)
        return self.select(one > two, one, two)

    def min(self, one: Val, two: Val | Number) -> Val:
        two = self.like(one, two)
        return self.select(one < two, one, two)

    # The fixed orders of sums over lanes.

    def fold(self, value: Val, combine: Callable[[Val, Val], Val]) -> Val:
        """All lanes of a vector to one by a tree: lane i with i + 8, then + 4, + 2, + 1."""
        lanes = value.type.count
        while lanes > 1:
            half = lanes // 2
            low = self.shuffle(value, value, range(half))
            high = self.shuffle(value, value, range(half, lanes))
            value, lanes = combine(low, high), half
        return value.lane(0)

    def sum(self, value: Val) -> Val:
        return self.fold(value, lambda one, two: one + two)

    def largest(self, value: Val) -> Val:
        return self.fold(value, self.max)


class _Callee:
    """What llvmlite wants of something to call, around a plain pointer."""

    def __init__(self, pointer: Any, kind: ir.FunctionType) -> None:
        self._pointer, self.function_type = pointer, kind
        self.type = pointer.type
        self.name = pointer.name
        self.args: tuple[Any, ...] = ()

    def get_reference(self) -> str:
        return str(self._pointer.get_reference())


def _suffix(kind: ir.Type) -> str:
    names = {ir.HalfType: "f16", ir.FloatType: "f32"}
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{names[type(kind.element)]}"
    return names[type(kind)]
