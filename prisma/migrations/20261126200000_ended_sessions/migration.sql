-- A session that is over stays until the gateways can know.
ALTER TABLE "sessions" ADD COLUMN "ended_at" TIMESTAMPTZ(3);
CREATE INDEX "sessions_seen_at_idx" ON "sessions"("seen_at");
CREATE INDEX "sessions_ended_at_idx" ON "sessions"("ended_at");
