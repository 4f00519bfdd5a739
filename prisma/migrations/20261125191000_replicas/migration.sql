-- AlterTable
ALTER TABLE "conversations" ADD COLUMN "event_count" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN "event_bytes" BIGINT NOT NULL DEFAULT 0;

-- AlterTable
ALTER TABLE "pending_messages" ADD COLUMN "sent_after" TEXT;

-- CreateTable
CREATE TABLE "leases" (
    "name" TEXT NOT NULL,
    "holder" TEXT NOT NULL,
    "until" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "leases_pkey" PRIMARY KEY ("name")
);

-- What is stored already counts.
UPDATE "conversations" AS c SET "event_count" = s.n, "event_bytes" = s.bytes
FROM (SELECT "conversation_id", count(*) AS n, sum(octet_length("body")) AS bytes FROM "events" GROUP BY "conversation_id") AS s
WHERE c."id" = s."conversation_id";

-- Events whose conversation was deleted while they were being stored: from now on that cannot happen.
DELETE FROM "events" AS e WHERE NOT EXISTS (SELECT 1 FROM "conversations" AS c WHERE c."id" = e."conversation_id");
