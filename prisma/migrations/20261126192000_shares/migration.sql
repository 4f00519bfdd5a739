-- Links by which others read a conversation.
CREATE TABLE "shares" (
    "id" TEXT NOT NULL,
    "owner_id" TEXT NOT NULL,
    "conversation_id" TEXT NOT NULL,
    "name" TEXT,
    "hash" TEXT NOT NULL,
    "ports" TEXT[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "last_used_at" TIMESTAMPTZ(3),

    CONSTRAINT "shares_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "shares_hash_key" ON "shares"("hash");
CREATE INDEX "shares_owner_id_idx" ON "shares"("owner_id");
CREATE INDEX "shares_conversation_id_idx" ON "shares"("conversation_id");
