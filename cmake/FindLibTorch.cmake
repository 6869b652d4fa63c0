# Finds LibTorch inside the Python wheel without importing it and without the wheel's own CMake package,
# which insists on a CUDA toolkit and overwrites CMAKE_CUDA_ARCHITECTURES.
#
#   LIBTORCH_ROOT   the wheel's `torch` folder; by default the one in .venv
#
# Defines LibTorch::LibTorch, and LibTorch_CUDA where the wheel is the full one.
if(NOT LIBTORCH_ROOT)
  file(GLOB _torch_candidates "${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
  list(LENGTH _torch_candidates _torch_count)
  if(_torch_count GREATER 0)
    list(GET _torch_candidates 0 LIBTORCH_ROOT)
  endif()
endif()

find_library(LibTorch_CPU_LIBRARY torch_cpu PATHS "${LIBTORCH_ROOT}/lib" NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 PATHS "${LIBTORCH_ROOT}/lib" NO_DEFAULT_PATH)
find_path(LibTorch_INCLUDE_DIR torch/types.h
          PATHS "${LIBTORCH_ROOT}/include/torch/csrc/api/include" NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run scripts/setup.sh, which installs LibTorch into .venv")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    "${LIBTORCH_ROOT}/include" "${LIBTORCH_ROOT}/include/torch/csrc/api/include")
  target_link_libraries(LibTorch::LibTorch INTERFACE
    "${LibTorch_CPU_LIBRARY}" "${LibTorch_C10_LIBRARY}")
  # The wheel's libraries name NVIDIA libraries that only a GPU machine needs.
  target_link_options(LibTorch::LibTorch INTERFACE "-Wl,--allow-shlib-undefined")
  # The wheel brings an OpenMP runtime by the system's name, and a process holds one of that name: all link this one.
  if(EXISTS "${LIBTORCH_ROOT}/lib/libgomp.so.1")
    set(OpenMP_gomp_LIBRARY "${LIBTORCH_ROOT}/lib/libgomp.so.1" CACHE FILEPATH "The OpenMP runtime" FORCE)
  endif()
endif()
