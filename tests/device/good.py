"""The smallest board file that loads, for tests that break it in one place."""

GOOD = """\
title: Toy board
vendor: us
mcu: T1000
core:
  name: Toy core
  architecture: cortex-m4
  clock: {value: 100 MHz, source: page 1}
  active_power: {value: 20 mW, source: page 2}
  waiting_power: {value: 5 mW, source: page 2}
  profile:
    source: measured
    cycles_per_mac: {conv: 4, conv_1x1: 3, depthwise: 10, fully_connected: 2}
    cycles_per_output: {arithmetic: 100, activation: 20, function: 90, softmax: 300}
    cycles_per_input: {pool: 12, reduce: 11}
    cycles_per_byte: {copy: 1.5, rearrange: 9, unknown: 25}
    cycles_per_call: {reshape: 70, softmax: 600}
    dispatch_cycles: 1000
    calibrated: true
    error_percent: 5
memories:
  sram:
    source: page 3
    size: 64 KiB
    reserved: 16 KiB
    holds: [arena, slots]
    dma: true
storages:
  nor:
    source: page 4
    kind: qspi_nor
    size: 1 MiB
    read_setup: 5 us
    write_setup: 10 us
    read_rate: 40 MB/s
    write_rate: 20 MB/s
    page: 256 B
    page_program: 0.4 ms
    block: 4 KiB
    block_erase: 45 ms
    dma: true
    busy:
      source: page 5
      probability: 0.25
      minimum: 1 ms
      typical: 2 ms
      maximum: 9 ms
source: page 6
bus: 400 MB/s
dma_channels: 8
weights_in: nor
weight_stall: 0.5
supply: 3.3 V
"""
