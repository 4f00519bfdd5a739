-- CreateTable
CREATE TABLE "device_logins" (
    "id" TEXT NOT NULL,
    "user_code" TEXT NOT NULL,
    "owner_id" TEXT,
    "state" TEXT NOT NULL DEFAULT 'pending',
    "polled_at" TIMESTAMPTZ(3),
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "device_logins_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "device_logins_user_code_key" ON "device_logins"("user_code");

-- CreateIndex
CREATE INDEX "device_logins_expires_at_idx" ON "device_logins"("expires_at");
