"""1 x 1 convolutions with a stride, kept away from a fault of oneDNN (uxlfoundation/oneDNN#6035).

On x86 CPUs the weight gradient of such a convolution writes outside its memory if the input is channels_last and has
fewer channels than the kernel's block (8 with AVX2, 16 with AVX-512): a crash, a hang, or gradients that are silently
wrong, depending on the number of threads. docs/decisions/0009 has the conditions and what was measured.
"""

from typing import TypeVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

_FEW = 16  # input channels in the widest block of oneDNN's kernels

_Module = TypeVar("_Module", bound=nn.Module)


class Pointwise(nn.Conv2d):
    """`nn.Conv2d`, whose steps are taken by slicing the input first where oneDNN would take them wrongly.

    The same function, start and state dictionary; everywhere else the same call. oneDNN's faulty way itself copies the
    slice and goes on without a stride, so that where it is right the bits are the same too. It is taken only where
    height and width are multiples of the stride: other inputs are left as they are, and so are their bits.
    """

    def forward(self, input: Float[Tensor, "*batch channels height width"]) -> Tensor:
        if not _strides_few(self):
            return super().forward(input)
        if self.padding_mode != "zeros":  # such padding is put on before the convolution, which then has none
            input = pad(input, self._reversed_padding_repeated_twice, self.padding_mode)
        down, across = self.stride
        if input.shape[-2] % down or input.shape[-1] % across:
            return conv2d(input, self.weight, self.bias, self.stride)
        return conv2d(input[..., ::down, ::across], self.weight, self.bias)


def reroute(network: _Module) -> _Module:
    """Turns every convolution of `network` that could meet the fault into a `Pointwise`, in place, and returns it.

    Nothing else changes: names, weights, bits. For networks of other people; those of `networks/` have none to turn.

    Raises:
        TypeError: one cannot be turned: it is of a class of its own (whose `forward` may do anything), or transposed.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, Pointwise) and _strides_few(module):
            if type(module) is not nn.Conv2d:
                raise TypeError(
                    f"`network.{name}` must be a torch.nn.Conv2d itself, as oneDNN computes wrong gradients for 1 x 1 "
                    f"convolutions with a stride on fewer than {_FEW} channels (uxlfoundation/oneDNN#6035) and only "
                    f"that class can be mended, found {type(module).__name__}."
                )
            module.__class__ = Pointwise
        elif isinstance(module, nn.ConvTranspose2d) and _unstrides_few(module):
            raise TypeError(
                f"`network.{name}` must have no stride or at least {_FEW} output channels, as oneDNN computes wrong "
                f"gradients for transposed 1 x 1 convolutions with a stride onto fewer (uxlfoundation/oneDNN#6035), "
                f"found stride {module.stride} and {module.out_channels} channels."
            )
    return network


def _strides_few(module: nn.Conv2d) -> bool:
    padded = module.padding_mode == "zeros" and module.padding not in ((0, 0), "valid")
    return _steps(module) and module.in_channels < _FEW and not padded


def _unstrides_few(module: nn.ConvTranspose2d) -> bool:
    return _steps(module) and module.out_channels < _FEW and module.padding == (0, 0)


def _steps(module: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return module.kernel_size == (1, 1) and max(module.stride) > 1 and module.groups == 1
