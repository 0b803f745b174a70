# The modules, lowest layer first. A module may include only smaller layers, and only its DEPS
# (and include/lull, which is layer 0). See docs/architecture.md.
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(CURL REQUIRED)
find_package(Boost 1.81 REQUIRED)

lull_module(base      LAYER 0 LIBS OpenSSL::Crypto seccomp nlohmann_json::nlohmann_json)
lull_module(evidence  LAYER 1 DEPS base LIBS nlohmann_json::nlohmann_json)
lull_module(budget    LAYER 1 DEPS base)
lull_module(formats   LAYER 1 DEPS base TEST_LIBS lull_test_support)
lull_module(simd      LAYER 1 DEPS base)
lull_module(doctor    LAYER 2 DEPS base evidence)
lull_module(store     LAYER 2 DEPS base LIBS nlohmann_json::nlohmann_json ZLIB::ZLIB CURL::libcurl)
lull_module(quant     LAYER 2 DEPS base simd)
lull_module(tokenizer LAYER 2 DEPS base formats)
lull_module(chat      LAYER 3 DEPS base LIBS nlohmann_json::nlohmann_json)
lull_module(grammar   LAYER 3 DEPS base tokenizer LIBS nlohmann_json::nlohmann_json
            TEST_LIBS lull_test_support)
lull_module(convert   LAYER 3 DEPS base formats tokenizer TEST_LIBS lull_test_support)
lull_module(quantize  LAYER 3 DEPS base formats quant TEST_LIBS lull_test_support)
lull_module(kernels   LAYER 3 DEPS base simd quant)
lull_module(ops       LAYER 4 DEPS base quant kernels TEST_LIBS lull_test_support)
lull_module(cache     LAYER 5 DEPS base kernels)
lull_module(model     LAYER 6 DEPS base formats quant kernels ops cache TEST_LIBS lull_test_support)
lull_module(decode    LAYER 7 DEPS base)
# Comparisons may be done for all and selected from: else the sums of exponentials do not vectorise.
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/decode/logits.cc PROPERTIES
                            COMPILE_OPTIONS -fno-trapping-math)
lull_module(sched     LAYER 8 DEPS base tokenizer model decode)
lull_module(engine    LAYER 9 DEPS base budget formats quant tokenizer chat grammar kernels quantize ops model decode sched TEST_LIBS lull_test_support)
lull_module(service   LAYER 12 DEPS base doctor evidence formats chat engine LIBS nlohmann_json::nlohmann_json Boost::headers OpenSSL::SSL
            TEST_LIBS lull_test_support)
lull_module(bench     LAYER 12 DEPS base evidence LIBS nlohmann_json::nlohmann_json Boost::headers)
lull_module(roof      LAYER 12 DEPS base simd)
lull_module(cli       LAYER 13 DEPS base doctor evidence store formats convert quantize engine service roof bench LIBS nlohmann_json::nlohmann_json
            TEST_LIBS lull_test_support)

include(cmake/dash.cmake)

# Tiny models and malformed files for tests; any test links it through TEST_LIBS.
file(GLOB support_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/*.cc)
add_library(lull_test_support STATIC ${support_sources})
target_include_directories(lull_test_support PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(lull_test_support PUBLIC lull_formats lull_quant)
add_executable(make_tiny_model tools/make_tiny_model.cc)
target_link_libraries(make_tiny_model PRIVATE lull_test_support)
add_executable(quantize_rows EXCLUDE_FROM_ALL tools/quantize_rows.cc)
target_link_libraries(quantize_rows PRIVATE lull_quantize)
add_executable(make_model EXCLUDE_FROM_ALL tools/make_model.cc)
target_link_libraries(make_model PRIVATE lull_test_support)

# Fuzz targets need clang: cmake --preset fuzz && ninja -C build/fuzz pack_fuzz
option(LULL_FUZZ "Build the libFuzzer targets (clang only)" OFF)
if(LULL_FUZZ)
  foreach(pair guard:lull_service gguf:lull_test_support budget:lull_budget chat_template:lull_chat character_map:lull_tokenizer pack:lull_model grammar:lull_grammar
               status_text:lull_cli tool_calls:lull_service evidence:lull_evidence hub:lull_store safetensors:lull_formats importance:lull_quantize)
    string(REPLACE ":" ";" pair ${pair})
    list(GET pair 0 parser)
    list(GET pair 1 library)
    add_executable(${parser}_fuzz fuzz/${parser}_fuzz.cc)
    target_link_libraries(${parser}_fuzz PRIVATE ${library})
    target_include_directories(${parser}_fuzz PRIVATE ${PROJECT_SOURCE_DIR})
    target_compile_options(${parser}_fuzz PRIVATE -fsanitize=fuzzer)
    target_link_options(${parser}_fuzz PRIVATE -fsanitize=fuzzer)
  endforeach()
endif()

if(EXISTS ${PROJECT_SOURCE_DIR}/src/cli/lull_main.cc)
  add_executable(lull src/cli/lull_main.cc)
  target_link_libraries(lull PRIVATE lull_cli)
  if(TARGET cli_test)
    target_compile_definitions(cli_test PRIVATE LULL_BINARY="$<TARGET_FILE:lull>")
    add_dependencies(cli_test lull)
  endif()
endif()
# From outside: the README's curl lines; the dashboard in a browser, skipped where there is no Chromium.
set(run_outside ${PROJECT_SOURCE_DIR}/tests/dash/run.sh)
add_test(NAME readme COMMAND ${run_outside} readme_test.py $<TARGET_FILE:lull> $<TARGET_FILE:make_tiny_model>
         ${PROJECT_SOURCE_DIR}/README.md)
set_tests_properties(readme PROPERTIES LABELS cli TIMEOUT 300 SKIP_RETURN_CODE 77)
add_test(NAME dash_browser COMMAND ${run_outside} browser_test.py $<TARGET_FILE:lull> $<TARGET_FILE:make_tiny_model>)
set_tests_properties(dash_browser PROPERTIES LABELS browser TIMEOUT 300 SKIP_RETURN_CODE 77)
add_test(NAME support_page COMMAND python3 ${PROJECT_SOURCE_DIR}/tools/support_table.py $<TARGET_FILE:lull> ${PROJECT_SOURCE_DIR}/docs/support.md)
set_tests_properties(support_page PROPERTIES LABELS cli TIMEOUT 60)
# What clients and machines do to the real server.
add_test(NAME faults COMMAND python3 ${PROJECT_SOURCE_DIR}/tests/faults/faults.py $<TARGET_FILE:lull>
         $<TARGET_FILE:make_tiny_model>)
set_tests_properties(faults PROPERTIES LABELS faults TIMEOUT 600)
# lull pull against a hub that misbehaves.
add_test(NAME pull COMMAND python3 ${PROJECT_SOURCE_DIR}/tests/store/pull_test.py $<TARGET_FILE:lull> $<TARGET_FILE:make_tiny_model>)
add_test(NAME pull_storm COMMAND python3 ${PROJECT_SOURCE_DIR}/tests/store/pull_storm.py $<TARGET_FILE:lull> --runs 60)
set_tests_properties(pull pull_storm PROPERTIES LABELS pull TIMEOUT 300)
# Does the evidence find an overrun, dropped samples, a removed record? lull_planted is never installed or released.
add_executable(lull_planted src/cli/lull_main.cc tests/evidence/planted_overrun.cc)
target_link_libraries(lull_planted PRIVATE lull_cli)
target_link_options(lull_planted PRIVATE LINKER:--wrap=_ZN4lull2os12ProcessCpuNsEv)
add_test(NAME planted_faults COMMAND python3 ${PROJECT_SOURCE_DIR}/tests/evidence/planted.py $<TARGET_FILE:lull>
         $<TARGET_FILE:lull_planted>)
set_tests_properties(planted_faults PROPERTIES LABELS evidence_slow TIMEOUT 1500 SKIP_RETURN_CODE 77 RUN_SERIAL ON)
# A real file of safetensors, where its package can be fetched.
add_executable(safetensors_dump tools/safetensors_dump.cc)
target_link_libraries(safetensors_dump PRIVATE lull_formats)
add_test(NAME real_safetensors COMMAND python3 ${PROJECT_SOURCE_DIR}/tests/formats/real_safetensors_test.py
         $<TARGET_FILE:safetensors_dump> $<TARGET_FILE:lull>)
set_tests_properties(real_safetensors PROPERTIES LABELS slow TIMEOUT 600 SKIP_RETURN_CODE 77)
add_executable(tokenize_dump EXCLUDE_FROM_ALL tools/tokenize_dump.cc)
target_link_libraries(tokenize_dump PRIVATE lull_tokenizer)
add_executable(render_template EXCLUDE_FROM_ALL tools/render_template.cc)
target_link_libraries(render_template PRIVATE lull_chat)
add_executable(parse_answer EXCLUDE_FROM_ALL tools/parse_answer.cc)
target_link_libraries(parse_answer PRIVATE lull_service)
add_executable(logits_dump EXCLUDE_FROM_ALL tools/logits_dump.cc)
target_link_libraries(logits_dump PRIVATE lull_model lull_test_support)

# The commit in records is that of the build, not of the last configuration.
set(commit_file ${CMAKE_BINARY_DIR}/generated/build_commit.cc)
add_custom_target(build_commit BYPRODUCTS ${commit_file} COMMENT ""
                  COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DOUT=${commit_file}
                          -P ${PROJECT_SOURCE_DIR}/cmake/write_commit.cmake)
target_sources(lull_evidence PRIVATE ${commit_file})
add_dependencies(lull_evidence build_commit)

# Two libraries of headers take most of the compile time here.
target_precompile_headers(lull_cli PRIVATE <CLI/CLI.hpp> <nlohmann/json.hpp>)
if(LULL_SANITIZE)  # and instantiating their templates, once a file
  set_target_properties(lull_cli PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 10)
endif()

# Other programs' clients against the real server; skipped where their packages are not installed.
if(TARGET lull)
  file(GLOB clients CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/clients/*_client.py)
  foreach(client ${clients})
    get_filename_component(name ${client} NAME_WE)
    add_test(NAME clients.${name} COMMAND python3 ${PROJECT_SOURCE_DIR}/tests/clients/run.py
             --lull $<TARGET_FILE:lull> --make-tiny-model $<TARGET_FILE:make_tiny_model> --model smollm2 ${client})
    set_tests_properties(clients.${name} PROPERTIES LABELS clients TIMEOUT 900 SKIP_RETURN_CODE 77)
  endforeach()
endif()

# Direction of includes, and the closed doors.
set(check_layers ${PROJECT_SOURCE_DIR}/tests/layers/check_layers.py)
add_test(NAME layers COMMAND python3 ${check_layers} ${PROJECT_SOURCE_DIR})
add_test(NAME layers_self_test COMMAND python3 ${check_layers} --self-test)
set_tests_properties(layers layers_self_test PROPERTIES LABELS layers TIMEOUT 60)
