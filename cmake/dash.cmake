# The dashboard's files as constants inside lull_service.
set(dash_source ${PROJECT_SOURCE_DIR}/src/service/dash)
set(dash_output ${PROJECT_BINARY_DIR}/generated/dash_files.cc)
add_custom_command(
  OUTPUT ${dash_output}
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${dash_output} -DNAMESPACE=lull
          "-DFILES=kDashHtml=${dash_source}/dash.html;kDashCss=${dash_source}/dash.css;kDashJs=${dash_source}/dash.js"
          -P ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
  DEPENDS ${dash_source}/dash.html ${dash_source}/dash.css ${dash_source}/dash.js
          ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
  COMMENT "The dashboard as bytes"
  VERBATIM)
target_sources(lull_service PRIVATE ${dash_output})
