# lull_module(NAME LAYER n DEPS a b LIBS x): one static library from src/NAME/**.cc, and its
# tests from tests/NAME/*_test.cc (one gtest binary: NAME_test).
# tests/layers/check_layers.py reads the same lines and fails on any include they do not allow.
function(lull_module NAME)
  cmake_parse_arguments(M "" "LAYER" "DEPS;LIBS;TEST_LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${NAME}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_main\\.cc$")
  set(dep_targets)
  foreach(dep IN LISTS M_DEPS)
    list(APPEND dep_targets lull_${dep})
  endforeach()
  if(sources)
    add_library(lull_${NAME} STATIC ${sources})
    target_include_directories(lull_${NAME} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(lull_${NAME} PUBLIC ${dep_targets} ${M_LIBS} Threads::Threads)
  else()
    add_library(lull_${NAME} INTERFACE)
    target_include_directories(lull_${NAME} INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(lull_${NAME} INTERFACE ${dep_targets} ${M_LIBS} Threads::Threads)
  endif()
  lull_quiet_intrinsics(${NAME})
  lull_tests(${NAME} LIBS lull_${NAME} ${M_TEST_LIBS})
endfunction()

# GCC 12's own intrinsic headers warn about undefined vectors they make on purpose.
set(LULL_INTRINSIC_FLAGS $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> -Wno-psabi)
if(LULL_SANITIZE MATCHES "address")
  # Thousands of inlined primitives: tracking the scope of each argument makes builds four times as long.
  list(APPEND LULL_INTRINSIC_FLAGS -fno-sanitize-address-use-after-scope)
endif()
function(lull_quiet_intrinsics NAME)
  get_target_property(type lull_${NAME} TYPE)
  if(NAME MATCHES "^(simd|quant|kernels|roof)$" AND NOT type STREQUAL INTERFACE_LIBRARY)
    target_compile_options(lull_${NAME} PRIVATE ${LULL_INTRINSIC_FLAGS})
  endif()
endfunction()

# lull_tests(NAME LIBS ...): tests/NAME/*_test.cc as the gtest binary NAME_test, one ctest entry per case.
# Suites with "Slow" in their name carry the label NAME_slow (ctest -LE slow leaves them out).
function(lull_tests NAME)
  cmake_parse_arguments(T "" "" "LIBS" ${ARGN})
  file(GLOB tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${NAME}/*_test.cc)
  if(NOT tests)
    return()
  endif()
  find_package(GTest REQUIRED)
  include(GoogleTest)
  add_executable(${NAME}_test ${tests})
  target_include_directories(${NAME}_test PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${NAME}_test PRIVATE ${T_LIBS} GTest::gtest GTest::gtest_main)
  if(NAME MATCHES "^(simd|quant|kernels|roof)$")
    target_compile_options(${NAME}_test PRIVATE ${LULL_INTRINSIC_FLAGS})
  endif()
  target_compile_definitions(${NAME}_test PRIVATE LULL_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  gtest_discover_tests(${NAME}_test TEST_FILTER "-*Slow*" TEST_LIST ${NAME}_tests
                       DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 LABELS ${NAME})
  gtest_discover_tests(${NAME}_test TEST_FILTER "*Slow*" TEST_LIST ${NAME}_slow_tests
                       DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 LABELS ${NAME}_slow)
endfunction()
