-- A start that is sent again with the same Idempotency-Key is the one that is there.
ALTER TABLE "start_tasks" ADD COLUMN "idempotency_key" TEXT;
CREATE UNIQUE INDEX "start_tasks_owner_id_idempotency_key_key" ON "start_tasks"("owner_id", "idempotency_key");
