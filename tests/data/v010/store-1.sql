BEGIN TRANSACTION;
CREATE TABLE completions (
        request_hash TEXT PRIMARY KEY,
        model TEXT NOT NULL,
        request TEXT NOT NULL,
        response TEXT NOT NULL,
        usage TEXT,
        cost_usd DOUBLE PRECISION,
        price_snapshot TEXT,
        latency_s DOUBLE PRECISION,
        created TEXT NOT NULL
    );
INSERT INTO "completions" VALUES('0fc28f06e099650ab6992c664247ac636b141d721e77b62e7df0d0d66ab8901e','scripted:teacher:answer','{"model": "scripted:teacher:answer", "messages": [{"role": "system", "content": "Is it a good day?\n\nAnswer with one of: good, bad, and nothing else."}, {"role": "user", "content": "day 1 was a good one"}], "parameters": {"temperature": 0.0, "max_tokens": 512}, "schema": null, "sample_index": 0}','{"text": "good", "finish_reason": "stop", "error": null}','{"input_tokens": 22, "output_tokens": 1, "cached_input_tokens": null, "reasoning_tokens": null, "estimated": true}',3.9e-06,'gpt-4o-mini, genai-prices 0.2.3',3.26442000186943914741e-04,'2026-11-29T23:33:40Z');
INSERT INTO "completions" VALUES('610b3586c1415d22611d710f1c5dafb2992dfc676d343e385b695f8f074937f4','scripted:teacher:answer','{"model": "scripted:teacher:answer", "messages": [{"role": "system", "content": "Is it a good day?\n\nAnswer with one of: good, bad, and nothing else."}, {"role": "user", "content": "day 2 was a good one"}], "parameters": {"temperature": 0.0, "max_tokens": 512}, "schema": null, "sample_index": 0}','{"text": "good", "finish_reason": "stop", "error": null}','{"input_tokens": 22, "output_tokens": 1, "cached_input_tokens": null, "reasoning_tokens": null, "estimated": true}',3.9e-06,'gpt-4o-mini, genai-prices 0.2.3',5.36249999640858732163e-05,'2026-11-29T23:33:40Z');
INSERT INTO "completions" VALUES('2407371f446c6d1ca6b69d4801963d5b8a7c8210c3e3a30eb8ab2ce2eba998f8','scripted:teacher:answer','{"model": "scripted:teacher:answer", "messages": [{"role": "system", "content": "Is it a good day?\n\nAnswer with one of: good, bad, and nothing else."}, {"role": "user", "content": "day 3 was a grim one"}], "parameters": {"temperature": 0.0, "max_tokens": 512}, "schema": null, "sample_index": 0}','{"text": "bad", "finish_reason": "stop", "error": null}','{"input_tokens": 22, "output_tokens": 1, "cached_input_tokens": null, "reasoning_tokens": null, "estimated": true}',3.9e-06,'gpt-4o-mini, genai-prices 0.2.3',1.68359993040212430059e-05,'2026-11-29T23:33:40Z');
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('version','1');
COMMIT;
