#include "store/hub.h"

#include <gtest/gtest.h>

#include <random>

namespace lull {
namespace {

const std::string kSha(64, 'a'), kGit(40, 'b');

HubFile File(const std::string& path, uint64_t bytes = 10) {
  return {path, bytes, *ContentKey::OfSha256(kSha)};
}

std::string Entry(const std::string& path, const std::string& more = "") {
  return R"({"type":"file","path":")" + path + R"(","size":134,"oid":")" + kGit + "\"" + more + "}";
}

std::string ListOf(const std::string& entries) {
  std::string list(1, '[');
  list += entries;
  list += ']';
  return list;
}

TEST(HubTreeTest, LargeFilesHaveSha256AndSmallOnesGitsHash) {
  std::vector<HubFile> files;
  const std::string lfs = R"(,"lfs":{"oid":")" + kSha + R"(","size":5000000000,"pointerSize":134})";
  const std::string folder = R"({"type":"directory","path":"x","oid":"","size":0})";
  ASSERT_TRUE(ParseHubTree(
                  "[" + folder + "," + Entry("a/m.gguf", lfs) + "," + Entry("c.json") + "]", &files)
                  .ok());
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].path, "a/m.gguf");
  EXPECT_EQ(files[0].bytes, 5'000'000'000u);
  EXPECT_EQ(files[0].key.text(), "sha256-" + kSha);
  EXPECT_EQ(files[1].bytes, 134u);
  EXPECT_EQ(files[1].key.text(), "gitsha1-" + kGit);
}

TEST(HubTreeTest, WhatLeavesTheFolderIsRefused) {
  for (const char* path : {"../x", "/x", "a/../x", "a//b", "", ".", "a/.", "a\\\\b", "a\\u0000b",
                           "a\\nb", "a\\u007fb", "a/", "a\\u009b2J"}) {
    std::vector<HubFile> files;
    const Status status = ParseHubTree(ListOf(Entry(path)), &files);
    EXPECT_EQ(status.code(), ErrorCode::kInvalidInput) << path;
    EXPECT_EQ(status.error().message.find('\n'), std::string::npos);
  }
}

TEST(HubTreeTest, WhatNobodyAsksForIsLeftOut) {
  std::vector<HubFile> files;
  const std::string text = "[" + Entry(std::string(300, 'x')) + R"(,{"type":"submodule"},)" +
                           Entry("a/\u6a21\u578b.gguf") + "]";
  ASSERT_TRUE(ParseHubTree(text, &files).ok());
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].path, "a/\xe6\xa8\xa1\xe5\x9e\x8b.gguf");
}

// Anything is a list of sound files or an error.
TEST(HubTreeTest, MutationsAreErrorsOrSound) {
  const std::string lfs = R"(,"lfs":{"oid":")" + kSha + R"(","size":50})";
  const std::string text = "[" + Entry("a/m.gguf", lfs) + "," + Entry("c.json") + "]";
  std::mt19937 random(5);
  for (int i = 0; i < 5000; ++i) {
    std::string bad = text;
    for (unsigned n = 1 + random() % 3; n > 0; --n) {
      const size_t at = random() % bad.size();
      if (random() % 3 == 0)
        bad.erase(at, 1 + random() % 9);
      else
        bad[at] = static_cast<char>(random());
      if (bad.empty()) bad.assign(1, '[');
    }
    std::vector<HubFile> files;
    if (!ParseHubTree(bad, &files).ok()) continue;
    for (const HubFile& file : files) {
      EXPECT_TRUE(IsHubFilePath(file.path));
      EXPECT_TRUE(ContentKey::Parse(file.key.text()).has_value());
    }
  }
}

TEST(HubTreeTest, DeepNestingIsAnError) {
  std::vector<HubFile> files;
  EXPECT_FALSE(ParseHubTree(std::string(1 << 20, '['), &files).ok());
  EXPECT_FALSE(ParseHubRevision(std::string(1 << 20, '{')).ok());
}

TEST(HubRevisionTest, LicenceFromCardOrTags) {
  const std::string sha = R"({"sha":")" + kGit + "\"";
  EXPECT_EQ(ParseHubRevision(sha + R"(,"cardData":{"license":"mit"}})")->license, "mit");
  EXPECT_EQ(ParseHubRevision(sha + R"(,"tags":["gguf","license:llama3.2"]})")->license, "llama3.2");
  EXPECT_EQ(ParseHubRevision(sha + R"(,"cardData":{"license":["a"]},"tags":[3]})")->license, "");
  EXPECT_FALSE(ParseHubRevision(R"({"sha":"main"})").ok());
  EXPECT_FALSE(ParseHubRevision("[]").ok());
}

TEST(QuantTest, OfNamesAsPeopleGiveThem) {
  const std::pair<const char*, const char*> names[] = {
      {"Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M"},
      {"qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"},
      {"qwen2.5-7b-instruct-q8_0-00002-of-00003.gguf", "Q8_0"},
      {"Qwen3-8B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"},
      {"UD-IQ1_S/Big-UD-IQ1_S-00001-of-00004.gguf", "UD-IQ1_S"},
      {"mixtral-8x7b-instruct-v0.1.Q5_K_S.gguf", "Q5_K_S"},
      {"gpt-oss-20b-mxfp4.gguf", "MXFP4"},
      {"model_IQ4_NL.gguf", "IQ4_NL"},
      {"bitnet-TQ1_0.gguf", "TQ1_0"},
      {"Phi-3-mini-4k-instruct-q4.gguf", "Q4"},
      {"x-f16.gguf", "F16"},
      {"x.BF16.gguf", "BF16"},
      {"ggml-model.gguf", ""},
      {"Q4_K_M/weights.gguf", ""},
      {"qwen3-4b.gguf", ""},
      {".gguf", ""}};
  for (const auto& [name, quant] : names) EXPECT_EQ(QuantOfFileName(name), quant) << name;
}

TEST(SelectTest, ThePartsOfASplitFileInOrder) {
  const auto selection = SelectHubFiles({"o/r", "", "Q8_0", ""},
                                        {File("m-Q8_0-00002-of-00002.gguf"), File("m-Q4_0.gguf"),
                                         File("m-Q8_0-00001-of-00002.gguf")});
  ASSERT_TRUE(selection.ok());
  ASSERT_EQ(selection->files.size(), 2u);
  EXPECT_EQ(selection->files[0].path, "m-Q8_0-00001-of-00002.gguf");
  EXPECT_EQ(selection->note, "");
}

TEST(SelectTest, WithoutAQuantTheUsualOne) {
  const std::vector<HubFile> files = {File("m-BF16.gguf"), File("m-IQ4_XS.gguf"),
                                      File("m-Q4_K_M.gguf"), File("mmproj-m-Q4_K_M.gguf")};
  const auto selection = SelectHubFiles({"o/r", "", "", ""}, files);
  ASSERT_TRUE(selection.ok());
  EXPECT_EQ(selection->ref.Name(), "hf:o/r:Q4_K_M");
  EXPECT_EQ(selection->files[0].path, "m-Q4_K_M.gguf");
  EXPECT_EQ(SelectHubFiles({"o/r", "", "", ""}, {files[0]})->ref.Name(), "hf:o/r:BF16");
}

TEST(SelectTest, FoldersOfSafetensors) {
  const std::vector<HubFile> files = {
      File("config.json"),          File("model-00001-of-00002.safetensors"),
      File("original/params.json"), File("consolidated.00.safetensors"),
      File("tokenizer.model"),      File("README.md")};
  const auto selection = SelectHubFiles({"o/r", "", "", ""}, files);
  ASSERT_TRUE(selection.ok());
  EXPECT_EQ(selection->kind, ModelKind::kSafetensors);
  EXPECT_EQ(selection->files.size(), 3u);
  EXPECT_EQ(SelectHubFiles({"o/r", "", "Q4_0", ""}, files).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(SelectHubFiles({"o/r", "", "", ""}, {File("README.md")}).ok());
}

TEST(HubRefTest, FormsOfANameMeanOneModel) {
  for (const char* text :
       {"hf:org/repo:Q4_K_M", "hf.co/org/repo:q4_k_m", "https://huggingface.co/org/repo:Q4_K_M",
        "hf:org/repo@main:Q4_K_M", "huggingface.co/org/repo:q4_K_M:latest"})
    EXPECT_EQ(StoreName(text), "hf:org/repo:Q4_K_M") << text;
  EXPECT_EQ(StoreName("hf:o/r@v1.0/sub/m.gguf"), "hf:o/r@v1.0/sub/m.gguf");
  for (const char* text : {"hf:r", "hf:o/", "hf:/r", "hf:o/r:", "hf:o/r@", "hf:o/r/../m.gguf",
                           "hf:o/r/m.bin", "hf:.o/r", "hf:o/r:a/b", "hf:o/r%20:Q4", "hf:-o/r"})
    EXPECT_EQ(ParseHubRef(text).status().code(), ErrorCode::kUsage) << text;
}

TEST(ModelSourceTest, NamesOfOllamasLibrary) {
  EXPECT_EQ(FindModelSource("smollm2:latest")->entry, FindCatalogEntry("smollm2"));
  EXPECT_EQ(FindModelSource("llama3.2:1b")->hub.repo, "bartowski/Llama-3.2-1B-Instruct-GGUF");
  EXPECT_EQ(FindModelSource("llama3.2")->hub.repo, "bartowski/Llama-3.2-3B-Instruct-GGUF");
  const auto quantised = FindModelSource("qwen2.5:7b-instruct-q4_K_M");
  EXPECT_EQ(quantised->hub.repo, "Qwen/Qwen2.5-7B-Instruct-GGUF");
  EXPECT_EQ(quantised->hub.quant, "Q4_K_M");
  EXPECT_EQ(quantised->name, "qwen2.5:7b-instruct-q4_K_M");
  EXPECT_EQ(FindModelSource("qwen3:30b-a3b")->hub.repo, "unsloth/Qwen3-30B-A3B-GGUF");
  EXPECT_NE(FindModelSource("llama3.2:9b").error().hint.find("3b, 1b"), std::string::npos);
  EXPECT_NE(FindModelSource("org/repo").error().hint.find("hf:org/repo"), std::string::npos);
  EXPECT_NE(FindModelSource("nothing").error().hint.find("smollm2"), std::string::npos);
}

TEST(ModelSourceTest, EveryKnownModelIsSound) {
  for (const KnownModel& known : KnownModels()) {
    const std::string name = std::string(known.model) + ":" + known.tag;
    const auto source = FindModelSource(name);
    ASSERT_TRUE(source.ok()) << name;
    EXPECT_EQ(source->hub.repo, known.repo) << name;
    EXPECT_TRUE(ParseHubRef("hf:" + source->hub.repo).ok()) << name;
  }
}

TEST(HubAddressTest, EndpointsAndTokens) {
  EXPECT_EQ(*CheckedEndpoint("https://hub.example//"), "https://hub.example");
  for (const char* bad : {"", "ftp://x", "hub.example", "https://", "https://user:pw@hub.example"})
    EXPECT_FALSE(CheckedEndpoint(bad).ok()) << bad;
  EXPECT_FALSE(CheckToken("a\r\nX: y").ok());
  HttpClient http;
  const std::pair<const char*, const char*> sent[] = {
      {"https://hub.example", "t"},      {"http://hub.example", ""},  {"http://127.0.0.1:80", "t"},
      {"http://127.0.0.1.evil.com", ""}, {"http://localhost:1", "t"}, {"http://localhostile", ""}};
  for (const auto& [endpoint, token] : sent) {
    HubOptions options;
    options.endpoint = endpoint;
    options.token.assign(1, 't');
    EXPECT_EQ(Hub(options, http).TokenToSend(), token) << endpoint;
  }
  HubOptions options;
  EXPECT_EQ(Hub(options, http).FileUrl({"o/r", "", "", ""}, "c", "a b/m#1.gguf"),
            "https://huggingface.co/o/r/resolve/c/a%20b/m%231.gguf");
}

TEST(HttpTest, RedirectsThatAreNotFollowed) {
  EXPECT_EQ(RefusedRedirect("https://h/x", "https://cdn/y"), "");
  EXPECT_EQ(RefusedRedirect("http://h/x", "https://cdn/y"), "");
  EXPECT_EQ(RefusedRedirect("http://h/x", "http://cdn/y"), "");
  for (const char* to : {"http://h/x", "ftp://h/x", "file:///etc/passwd", "", "httpsx://h"})
    EXPECT_NE(RefusedRedirect("HTTPS://h/x", to), "") << to;
  for (const char* to : {"file:///etc/passwd", "gopher://h", ""})
    EXPECT_NE(RefusedRedirect("http://h/x", to), "") << to;
}

TEST(HttpTest, HeadersThatAreRead) {
  int64_t start = 0, total = 0;
  ParseContentRange("bytes 5-9/10", &start, &total);
  EXPECT_EQ(start, 5);
  EXPECT_EQ(total, 10);
  ParseContentRange("bytes */10", &start, &total);
  EXPECT_EQ(start, -1);
  EXPECT_EQ(total, 10);
  for (const char* bad : {"", "bytes", "bytes -", "bytes -5-/", "octets 1-2/3", "bytes /-"}) {
    ParseContentRange(bad, &start, &total);
    EXPECT_EQ(start, -1) << bad;
  }
  EXPECT_EQ(ParseRetryAfter("120", 0), 120);
  EXPECT_EQ(ParseRetryAfter("Thu, 01 Jan 1970 00:01:00 GMT", 10), 50);
  EXPECT_EQ(ParseRetryAfter("Thu, 01 Jan 1970 00:01:00 GMT", 100), 0);
  EXPECT_EQ(ParseRetryAfter("soon", 0), -1);
  EXPECT_EQ(ParseNextLink("<https://h/x?a=1>; rel=\"next\""), "https://h/x?a=1");
  EXPECT_EQ(ParseNextLink("<a>; rel=\"prev\", <b>; rel=\"next\""), "b");
  EXPECT_EQ(ParseNextLink("<a>; rel=\"prev\""), "");
  EXPECT_EQ(ParseNextLink("<a"), "");
  EXPECT_TRUE(SameOrigin("https://h/x", "https://H:443/y"));
  for (const char* other :
       {"http://h/", "https://h:444/", "https://h.evil/", "https://h@evil/", ""})
    EXPECT_FALSE(SameOrigin("https://h/x", other)) << other;
}

}  // namespace
}  // namespace lull
